"""The token manifest is a promise that is checked; each test breaks it in one way."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from conf.errors import SeedbedError
from megatron_train.data.manifest import read_manifest, verify_shards
from tests.megatron_train import tiny


@pytest.fixture
def tokens(token_folder, tmp_path):
    shutil.copytree(token_folder / "tokens", tmp_path / "tokens")
    return tmp_path / "tokens"


def problem(tokens, contents=True) -> str:
    with pytest.raises(SeedbedError) as raised:
        verify_shards(read_manifest(tokens), contents)
    assert raised.value.fix
    return raised.value.problem


def test_a_sound_set_passes(tokens):
    manifest = read_manifest(tokens)
    verify_shards(manifest, contents=True)
    assert (manifest.vocab_size, manifest.eod) == (tiny.VOCAB, 0)
    assert [s.prefix.name for s in manifest.of("train")] == ["train-00000", "train-00001"]


def test_no_manifest(tmp_path):
    assert "does not exist" in problem(tmp_path)


def test_another_manifest_version(tokens):
    raw = json.loads((tokens / "manifest.json").read_text())
    (tokens / "manifest.json").write_text(json.dumps({**raw, "version": 2}))
    assert "version 2" in problem(tokens)


def test_a_missing_shard(tokens):
    (tokens / "train-00001.idx").unlink()
    assert "train-00001.idx is missing" in problem(tokens, contents=False)


def test_a_truncated_shard(tokens):
    binary = tokens / "train-00000.bin"
    whole = binary.read_bytes()
    binary.write_bytes(whole[:-100])
    assert f"{len(whole) - 100} bytes; the manifest says {len(whole)}" in problem(
        tokens, contents=False
    )


def test_a_truncated_index(tokens):
    index = tokens / "train-00000.idx"
    index.write_bytes(index.read_bytes()[:20])
    assert "not a Megatron index" in problem(tokens, contents=False)


def test_a_flipped_bit(tokens):
    binary = tokens / "train-00000.bin"
    data = bytearray(binary.read_bytes())
    data[1000] ^= 1
    binary.write_bytes(data)
    assert "differs from what the packer wrote" in problem(tokens)


def test_an_index_of_another_shard(tokens):
    shutil.copy(tokens / "val-00000.idx", tokens / "train-00000.idx")
    assert "documents; the manifest says" in problem(tokens, contents=False)


def test_another_tokenizer(tokens):
    path = tokens / "tokenizer" / "tokenizer.json"
    path.write_text(path.read_text() + " ")
    assert "not the tokenizer that packed these shards" in problem(tokens)


def test_an_id_outside_the_vocabulary(tokens):
    """The vocabulary-parallel embedding would turn it into zeros and say nothing."""
    raw = json.loads((tokens / "manifest.json").read_text())
    largest = int(
        max(
            np.fromfile(tokens / f"{s['prefix']}.bin", dtype=np.uint16).max() for s in raw["shards"]
        )
    )
    raw["tokenizer"]["vocab_size"] = largest
    (tokens / "manifest.json").write_text(json.dumps(raw))
    assert f"holds id {largest}; the tokenizer's ids end at {largest - 1}" in problem(tokens)
