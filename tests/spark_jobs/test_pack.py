"""Packing: the content of the shards, and how a broken run continues.

The shards depend on documents, seed and epoch only.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession
from tokenizers import Tokenizer

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.curate import CurateConfig
from seedbed.kernels.tokens import bpe
from seedbed.kernels.tokens.indexed_dataset import read_lengths
from seedbed.kernels.tokens.packing import DocumentSample, Packer
from seedbed.queries.certify import hashes
from spark_jobs import pack_tokens
from spark_jobs.runtime.job import Summary, execute
from spark_jobs.runtime.store import TABLES, Store
from tests.seedbed.kernels.tokens.made_tokenizers import foreign

SEED, RATE = 5, 0.5
SETTINGS = [f"tokens.seed={SEED}", f"tokens.fim_rate={RATE}", "tokens.shard_tokens=2000"]
TEXTS = {f"train-{i}": f"def f{i}(x):\n    return x + {i}\n" * (1 + i % 9) for i in range(60)}
TEXTS |= {f"val-{i}": f"class V{i}:\n    y = '<|endoftext|>'\n" * 3 for i in range(6)}
EPOCHS = {"train": 2, "val": 1}
TOKENIZER_JSON = bpe.train(TEXTS.values(), 290)


def make(spark: SparkSession, root: Path, partitions: int, order: int) -> Store:
    store = Store(lambda: spark, str(root))
    sha = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in TEXTS.items()}
    names = sorted(TEXTS)[::order]
    contents = [(sha[n], TEXTS[n], len(TEXTS[n]), "Python", int(sha[n][0], 16) // 8) for n in names]
    documents = [
        (
            hashlib.sha256(b"file\0" + sha[n].encode()).hexdigest(),
            "file",
            [(f"{n}.py", sha[n])],
            "Python",
            None,
            "repo",
            n.split("-")[0],
            EPOCHS[n.split("-")[0]],
            len(TEXTS[n]),
            0.5,
        )
        for n in names
    ]
    for table, rows in (("contents", contents), ("documents", documents)):
        frame = spark.createDataFrame(rows, TABLES[table].schema)
        store.overwrite(table, frame.repartition(partitions), {})
    folder = root / "tokens" / "tokenizer"
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(TOKENIZER_JSON)
    return store


def run(store: Store, *overrides: str) -> Summary | None:
    cfg = load(CurateConfig, None, [f"output={store.root}", *SETTINGS, *overrides])
    return execute(pack_tokens.JOB, cfg)


def files(store: Store) -> dict[str, bytes]:
    return {
        p.name: p.read_bytes()
        for p in Path(store.root, "tokens").iterdir()
        if p.suffix in (".bin", ".idx")
    }


def manifest(store: Store) -> dict[str, Any]:
    return json.loads(Path(store.root, "tokens", "manifest.json").read_text())


@pytest.fixture(scope="module")
def packed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = make(spark, tmp_path_factory.mktemp("packed"), 2, 1)
    summary = run(store)
    assert summary is not None
    assert summary.rows_in == summary.rows_out == 126
    assert summary.notes["encoded_by"] == "tiktoken"
    return store


def expected_shards() -> dict[str, list[tuple[str, int, bytes]]]:
    """(document_id, epoch, token bytes) of each shard, by the definition, one sample at a time."""
    packer = Packer(TOKENIZER_JSON, RATE, SEED)
    samples = []
    for name, text in TEXTS.items():
        document_id = hashlib.sha256(
            b"file\0" + hashlib.sha256(text.encode()).hexdigest().encode()
        ).hexdigest()
        split = name.split("-")[0]
        for epoch in range(EPOCHS[split]):
            key = hashlib.sha256(f"{SEED}\0{document_id}\0{epoch}".encode()).hexdigest()
            [tokens] = packer.encode([DocumentSample(document_id, epoch, split, text)])
            samples.append((split, key, document_id, epoch, tokens, len(text)))
    shards: dict[str, list[tuple[str, int, bytes]]] = {}
    for split in ("train", "val"):
        count = max(1, -(-sum(size for s, *_, size in samples if s == split) // 6000))
        for _, key, document_id, epoch, tokens, _ in sorted(s for s in samples if s[0] == split):
            number = int(key[:8], 16) * count // 2**32
            shards.setdefault(f"{split}-{number:05d}", []).append((document_id, epoch, tokens))
    return shards


def test_shards_hold_every_sample_where_its_key_puts_it(packed: Store) -> None:
    expected = expected_shards()
    assert len(expected) > 3
    found = files(packed)
    assert set(found) == {f"{name}.{kind}" for name in expected for kind in ("bin", "idx")}
    for name, samples in expected.items():
        assert found[f"{name}.bin"] == b"".join(tokens for *_, tokens in samples), name


def packed_without_spark(store: Store, folder: Path, *more: str) -> tuple[dict[str, bytes], Any]:
    """(files, manifest) of megatron_train/pack_texts.py for the same documents and tokenizer."""
    from megatron_train import pack_texts

    rows = []
    for name, text in TEXTS.items():
        content = hashlib.sha256(text.encode()).hexdigest()
        document_id = hashlib.sha256(b"file\0" + content.encode()).hexdigest()
        rows.append({"text": text, "id": document_id, "split": name.split("-")[0]})
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = [f"--texts={folder / 'texts.jsonl'}", f"--output={folder}", "--id=id"]
    told += [f"--tokenizer={store.root}/tokens/tokenizer", "--split=split", "--epochs=2"]
    told += [f"--seed={SEED}", f"--fim-rate={RATE}", "--shard-tokens=2000", *more]
    assert pack_texts.main(told) == 0
    found = {
        p.name: p.read_bytes()
        for p in (folder / "tokens").iterdir()
        if p.suffix in (".bin", ".idx")
    }
    return found, json.loads((folder / "tokens" / "manifest.json").read_text())


def assert_same_tokens(store: Store, found: dict[str, bytes], ours: dict[str, Any]) -> None:
    assert found == files(store)
    theirs = manifest(store)
    assert [ours[key] for key in ("tokenizer", "dtype")] == [
        theirs[key] for key in ("tokenizer", "dtype")
    ]
    assert sorted(ours["shards"], key=lambda one: one["prefix"]) == sorted(
        theirs["shards"], key=lambda one: one["prefix"]
    )


def test_packing_without_spark_gives_the_same_files(packed: Store, tmp_path: Path) -> None:
    assert_same_tokens(packed, *packed_without_spark(packed, tmp_path))


def test_a_foreign_tokenizer_packs_by_its_own_names_as_without_spark(
    spark: SparkSession, tmp_path: Path
) -> None:
    store = make(spark, tmp_path / "run", 2, 1)
    folder = Path(store.root, "tokens", "tokenizer")
    (folder / "tokenizer.json").write_text(foreign(["</s>", "<PRE>", "<SUF>", "<MID>"]))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    marks = {"fim_prefix": "<PRE>", "fim_suffix": "<SUF>", "fim_middle": "<MID>"}
    with pytest.raises(SeedbedError, match="no token of ours for: fim_suffix") as refused:
        run(store)
    assert "tokens.special.fim_suffix=TOKEN" in refused.value.fix
    assert run(store, *(f"tokens.special.{role}={name}" for role, name in marks.items()))
    told = [f"--special={role}={name}" for role, name in marks.items()]
    assert_same_tokens(store, *packed_without_spark(store, tmp_path, *told))
    tokens = np.concatenate([np.frombuffer(d, np.uint16) for n, d in files(store).items()
                             if n.endswith(".bin")])  # fmt: skip
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # Every sample ends, and about half of those that train are cut.
    assert (tokens == made.token_to_id("</s>")).sum() == 126
    assert 20 < (tokens == made.token_to_id("<PRE>")).sum() < 100


def test_a_tokenizer_that_tiktoken_cannot_be_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    lower = json.dumps(json.loads(TOKENIZER_JSON) | {"normalizer": {"type": "Lowercase"}})
    note = pack_tokens.encoded_by(Packer(lower, RATE, SEED))
    assert note == "tokenizers, since its normalizer is Lowercase"
    assert capsys.readouterr().out == f"pack_tokens: texts are encoded by {note}\n"
    assert pack_tokens.encoded_by(Packer(TOKENIZER_JSON, RATE, SEED)) == "tiktoken"
    assert capsys.readouterr().out == ""


def test_the_manifest_describes_the_files(packed: Store) -> None:
    content, found = manifest(packed), files(packed)
    ids = {
        "<|endoftext|>": 0,
        "<|pad|>": 1,
        "<[fim-suffix]>": 2,
        "<[fim-prefix]>": 3,
        "<[fim-middle]>": 4,
    }
    ids |= {"<|user|>": 5, "<|assistant|>": 6, "<|end|>": 7}
    assert content["tokenizer"] == {
        "path": "tokenizer",
        "sha256": hashlib.sha256(TOKENIZER_JSON.encode()).hexdigest(),
        "vocab_size": 290,
        "eod": 0,
        "pad": 1,
        "special_tokens": ids,
    }
    assert (content["version"], content["dtype"]) == (1, "uint16")
    assert content["tables"] == {"documents": 0, "token_index": 0}
    for shard in content["shards"]:
        binary, index = found[f"{shard['prefix']}.bin"], found[f"{shard['prefix']}.idx"]
        assert shard["bin_sha256"] == hashlib.sha256(binary).hexdigest()
        assert shard["idx_sha256"] == hashlib.sha256(index).hexdigest()
        assert shard["bin_bytes"] == len(binary) == 2 * shard["tokens"]
        assert shard["split"] == shard["prefix"].split("-")[0]
    assert sum(shard["documents"] for shard in content["shards"]) == 126


def test_the_index_leads_from_a_document_to_its_tokens(packed: Store) -> None:
    expected = {
        (d, e): (name, i, t)
        for name, rows in expected_shards().items()
        for i, (d, e, t) in enumerate(rows)
    }
    found = files(packed)
    rows = packed.read("token_index").collect()
    assert {(r.document_id, r.epoch) for r in rows} == set(expected)
    assert len(rows) == 126
    for row in rows:
        name, number, tokens = expected[row.document_id, row.epoch]
        assert (row.shard_file, row.document_number, row.split) == (
            f"{name}.bin",
            number,
            name.split("-")[0],
        )
        assert found[row.shard_file][2 * row.offset : 2 * (row.offset + row.tokens)] == tokens


def test_validation_reads_left_to_right_and_its_special_strings_are_text(packed: Store) -> None:
    tokenizer = Tokenizer.from_str(TOKENIZER_JSON)
    tokens = np.frombuffer(files(packed)["val-00000.bin"], np.uint16)
    documents = [tokenizer.decode(d[:-1], skip_special_tokens=False) for d in _split_at(tokens, 0)]
    assert sorted(documents) == sorted(
        text for name, text in TEXTS.items() if name.startswith("val")
    )


def test_epochs_repeat_documents_with_other_cuts() -> None:
    by_document: dict[str, set[bytes]] = {}
    for name, samples in expected_shards().items():
        for document_id, _, tokens in samples:
            if name.startswith("train"):
                by_document.setdefault(document_id, set()).add(tokens)
    assert sum(len(forms) == 2 for forms in by_document.values()) > len(by_document) / 2


def test_partitions_and_row_order_change_no_byte(
    spark: SparkSession, tmp_path: Path, packed: Store
) -> None:
    other = make(spark, tmp_path, 5, -1)
    run(other)
    assert files(other) == files(packed)
    assert manifest(other) == manifest(packed)
    assert hashes(other.root, ("token_index",)) == hashes(packed.root, ("token_index",))


def test_a_broken_run_keeps_its_whole_shards_and_ends_with_the_same_bytes(packed: Store) -> None:
    before, described = files(packed), manifest(packed)
    assert run(packed) is None
    folder = Path(packed.root, "tokens")
    # The run was killed before its end.
    (folder / "manifest.json").unlink()
    # It was writing this shard.
    (folder / "train-00001.json").unlink()
    (folder / "train-00001.bin").write_bytes(b"half")
    (folder / "train-00002.bin.99").write_bytes(b"left by a killed attempt")
    (folder / "train-00099.bin").write_bytes(b"of a longer plan")
    untouched = (folder / "train-00000.bin").stat().st_mtime_ns
    assert run(packed) is not None
    assert files(packed) == before
    assert {**manifest(packed), "tables": None} == {**described, "tables": None}
    assert (folder / "train-00000.bin").stat().st_mtime_ns == untouched
    assert not (folder / "train-00002.bin.99").exists()


@pytest.mark.slow
def test_a_shard_cut_short_behind_the_manifest_is_written_again(packed: Store) -> None:
    before = files(packed)
    Path(packed.root, "tokens", "val-00000.bin").write_bytes(before["val-00000.bin"][:-2])
    assert run(packed) is not None
    assert files(packed) == before


@pytest.mark.slow
def test_another_setting_replaces_every_shard(packed: Store) -> None:
    run(packed, "tokens.shard_tokens=1000000", "tokens.fim_rate=0.0")
    assert set(files(packed)) == {
        "train-00000.bin",
        "train-00000.idx",
        "val-00000.bin",
        "val-00000.idx",
    }
    tokens = np.frombuffer(files(packed)["train-00000.bin"], np.uint16)
    assert not np.isin(tokens, range(1, 8)).any()
    with Path(packed.root, "tokens", "train-00000.idx").open("rb") as stream:
        assert len(read_lengths(stream)) == 120


def test_a_missing_tokenizer_is_told_with_its_job(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(SeedbedError, match="no tokenizer"):
        run(Store(lambda: spark, str(tmp_path)))


def _split_at(tokens: np.ndarray, end: int) -> list[list[int]]:
    bounds = [0, *(np.flatnonzero(tokens == end) + 1).tolist()]
    return [tokens[a:b].tolist() for a, b in itertools.pairwise(bounds)]
