"""Token folders without Spark: the same shards by any number of workers, as the rules have them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from conf.errors import SeedbedError
from megatron_train import pack_texts
from megatron_train.data.manifest import read_manifest, verify_shards
from seedbed.kernels.tokens import bpe
from seedbed.kernels.tokens.indexed_dataset import read_lengths
from seedbed.kernels.tokens.packing import DocumentSample, Packer
from tests.seedbed.kernels.tokens.made_tokenizers import foreign

TEXTS = [f"def f{i}(x):\n    return x + {i}  # <|endoftext|>\n" * (1 + i % 9) for i in range(60)]
SEED, RATE, EPOCHS = 5, 0.5, 2


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "tokenizer.json").write_text(bpe.train(TEXTS, 290))
    for name, text in bpe.companion_files().items():
        (folder / name).write_text(text)
    return folder


def write(path: Path, texts=TEXTS, **more) -> Path:
    rows = [{"text": t, "id": f"d{i}", "split": "val" if i % 10 == 3 else "train"} | more
            for i, t in enumerate(texts)]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(output: Path, tokenizer: Path, *more: str, texts: Path) -> dict[str, bytes]:
    told = ["--texts", str(texts), "--tokenizer", str(tokenizer), "--output", str(output)]
    told += ["--id", "id", "--seed", str(SEED), "--shard-tokens", "1500"]
    assert pack_texts.main([*told, *more]) == 0
    return {p.name: p.read_bytes() for p in (output / "tokens").iterdir() if p.is_file()}


@pytest.fixture(scope="module")
def packed(tokenizer, tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    root = tmp_path_factory.mktemp("packed")
    options = ("--split", "split", "--fim-rate", str(RATE), "--epochs", str(EPOCHS))
    return root, run(root / "run", tokenizer, *options, texts=write(root / "a.jsonl"))


def test_every_sample_lies_where_its_key_puts_it(packed, tokenizer):
    """The definition of spark_jobs/pack_tokens.py, one sample at a time."""
    packer = Packer((tokenizer / "tokenizer.json").read_text(), RATE, SEED)
    samples = []
    for i, text in enumerate(TEXTS):
        split = "val" if i % 10 == 3 else "train"
        for epoch in range(EPOCHS if split == "train" else 1):
            key = hashlib.sha256(f"{SEED}\0d{i}\0{epoch}".encode()).hexdigest()
            [tokens] = packer.encode([DocumentSample(f"d{i}", epoch, split, text)])
            samples.append((split, key, tokens, len(text.encode())))
    expected: dict[str, list[bytes]] = {}
    for split in ("train", "val"):
        count = max(1, -(-sum(size for s, *_, size in samples if s == split) // 4500))
        for _, key, tokens, _ in sorted(s for s in samples if s[0] == split):
            name = f"{split}-{int(key[:8], 16) * count // 2**32:05d}"
            expected.setdefault(name, []).append(tokens)
    _, found = packed
    assert len(expected) > 4
    assert {n for n in found if n.endswith(".bin")} == {f"{name}.bin" for name in expected}
    for name, tokens in expected.items():
        assert found[f"{name}.bin"] == b"".join(tokens), name


def test_the_folder_is_one_that_training_takes(packed, tokenizer):
    root, _found = packed
    folder = root / "run" / "tokens"
    manifest = read_manifest(folder)
    verify_shards(manifest, True)
    assert sum(s.documents for s in manifest.of("train")) == 54 * EPOCHS
    for shard in manifest.shards:
        with shard.prefix.with_suffix(".idx").open("rb") as index:
            lengths = read_lengths(index)
        tokens = np.fromfile(shard.prefix.with_suffix(".bin"), manifest.dtype)
        assert (tokens[np.cumsum(lengths) - 1] == manifest.eod).all()
        # What a text spells is text.
        assert (tokens == manifest.eod).sum() == shard.documents
    assert (folder / "tokenizer" / "tokenizer_config.json").is_file()
    assert not list(root.rglob("spool*"))


def test_workers_and_parts_change_no_byte(packed, tokenizer, tmp_path, monkeypatch):
    _, found = packed
    half = tmp_path / "half"
    half.mkdir()
    whole = write(tmp_path / "a.jsonl").read_text().splitlines(keepends=True)
    for number, some in enumerate((whole[40:], whole[:17], whole[17:40])):
        (half / f"{number}.jsonl").write_text("".join(some))
    options = ("--split", "split", "--fim-rate", str(RATE), "--epochs", str(EPOCHS))
    again = run(tmp_path / "run", tokenizer, *options, "--workers", "3", texts=half)
    assert again == found


def test_a_split_is_drawn_by_the_id_alone(tokenizer, tmp_path):
    texts = write(tmp_path / "a.jsonl")
    first = run(tmp_path / "one", tokenizer, "--val-share", "0.3", texts=texts)
    lines = texts.read_text().splitlines(keepends=True)
    texts.write_text("".join(reversed(lines)))
    assert run(tmp_path / "two", tokenizer, "--val-share", "0.3", texts=texts) == first
    assert read_manifest(tmp_path / "one" / "tokens").of("val")


def test_what_is_left_out_and_what_is_twice_is_told(tokenizer, tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in ["a", "", "b", "a", ""]))
    told = ["--texts", str(path), "--tokenizer", str(tokenizer), "--val-share", "0"]
    pack_texts.main([*told, "--output", str(tmp_path / "run")])
    said = capsys.readouterr().out
    assert "1 documents are copies of others" in said
    assert "2 documents are empty, and are left out" in said
    assert "no validation text" in said
    with pytest.raises(SeedbedError, match="holds tokens already"):
        pack_texts.main([*told, "--output", str(tmp_path / "run")])


def test_rows_that_are_no_documents_are_left_out_up_to_a_number_and_told(
    tokenizer, tmp_path, capsys
):
    rows = ['{"text": "a"}', '{"txt": "b"}', "{", '{"text": "c"}', '{"text": null}']
    (tmp_path / "bad.jsonl").write_text("\n".join(rows) + "\n")
    good = tmp_path / "good.jsonl"
    good.write_text(f"{rows[0]}\n{rows[3]}\n")

    def told(texts: Path, *more: str) -> list[str]:
        given = ["--texts", str(texts), "--tokenizer", str(tokenizer), "--val-share", "0"]
        return [*given, "--output", str(tmp_path / texts.stem), *more]

    with pytest.raises(SeedbedError, match="byte 14 has no 'text'; it has txt") as refused:
        pack_texts.main(told(tmp_path / "bad.jsonl"))
    assert "a higher --max-bad" in refused.value.fix
    with pytest.raises(SeedbedError, match="there are more than --max-bad 2 such rows"):
        pack_texts.main(told(tmp_path / "bad.jsonl", "--max-bad", "2"))
    assert not (tmp_path / "bad").exists()
    pack_texts.main(told(tmp_path / "bad.jsonl", "--max-bad", "3", "--workers", "2"))
    said = capsys.readouterr().out
    assert "3 rows are no documents, and are left out; the first:" in said
    pack_texts.main(told(good))
    shards = [(tmp_path / name / "tokens/train-00000.bin").read_bytes() for name in ("bad", "good")]
    assert shards[0] == shards[1]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--id", "split"], "2 ids of field 'split' stand for several texts"),
        (["--val-share", "1"], "there is no training text"),
        (["--val-share", "1.5"], "--val-share=1.5 is not a share"),
        (["--workers", "0"], "--workers=0 must be at least 1"),
        (["--field", "body"], "has no 'body'"),
        (["--special", "end=<none>"], "has no <none>"),
        (["--special", "stop=<|end|>"], "is no role=TOKEN"),
    ],
)
def test_what_cannot_work_is_refused_and_leaves_no_tokens(tokenizer, tmp_path, more, problem):
    texts = write(tmp_path / "a.jsonl")
    told = ["--texts", str(texts), "--tokenizer", str(tokenizer), "--output", str(tmp_path / "r")]
    with pytest.raises(SeedbedError, match=problem):
        pack_texts.main([*told, *more])
    assert not (tmp_path / "r" / "tokens").exists()


def test_a_foreign_tokenizer_packs_with_its_own_tokens(tmp_path):
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(foreign(["</s>", "<PRE>", "<SUF>", "<MID>"]))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    marks = ["fim_prefix=<PRE>", "fim_suffix=<SUF>", "fim_middle=<MID>"]
    options = [word for mark in marks for word in ("--special", mark)]
    run(tmp_path / "run", folder, *options, "--fim-rate", "1", texts=write(tmp_path / "a.jsonl"))
    manifest = read_manifest(tmp_path / "run" / "tokens")
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert manifest.eod == made.token_to_id("</s>")
    shard = manifest.of("train")[0]
    tokens = np.fromfile(shard.prefix.with_suffix(".bin"), manifest.dtype)
    for mark in ("<PRE>", "<SUF>", "<MID>", "</s>"):
        assert (tokens == made.token_to_id(mark)).sum() == shard.documents
