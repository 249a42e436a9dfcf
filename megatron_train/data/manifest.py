"""DIR/tokens/manifest.json: what the packer promises of the shards, and the checks of it."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conf.errors import SeedbedError
from conf.schema.pretrain import DataConfig
from megatron_train.data.remote_tokens import local_tokens
from seedbed import json_object

REPACK = "pack the tokens again: python -m spark_jobs run ... from=documents"
# The header of a Megatron .idx file: magic, version, dtype code, sequences, documents. Source:
# megatron-core indexed_dataset.py.
_IDX_HEADER = struct.Struct("<9sQBQQ")
_IDX_MAGIC = b"MMIDIDX\x00\x00"
_CHUNK = 1 << 24
# What the packer writes: two bytes up to 65,536 ids, else four.
_DTYPES = ("uint16", "int32")


@dataclass(frozen=True)
class Shard:
    """One pair of .bin and .idx files."""

    # train or val.
    split: str
    # The path without .bin or .idx.
    prefix: Path
    tokens: int
    documents: int
    bin_bytes: int
    bin_sha256: str
    idx_sha256: str


@dataclass(frozen=True)
class Manifest:
    """A token folder."""

    folder: Path
    # The folder that holds tokenizer.json.
    tokenizer: Path
    tokenizer_sha256: str
    vocab_size: int
    eod: int
    dtype: str
    shards: list[Shard]
    # Versions of the tables that it was packed from.
    tables: dict[str, int]
    # 16 hex digits of a hash over tokenizer and shard contents: what a model was trained on.
    identity: str

    def of(self, split: str) -> list[Shard]:
        return [shard for shard in self.shards if shard.split == split]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of DIR/tokens.

    Raises:
        SeedbedError: where it is missing or damaged, or the tokenizer's hash does not match.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise SeedbedError(
            f"{path} does not exist",
            "give output=DIR of a run whose tokens are packed, or pack them first",
        )
    raw = json_object.read(path, REPACK)
    if raw.get("version") != 1:
        raise SeedbedError(
            f"{path} has version {raw.get('version')}; this code reads version 1", REPACK
        )
    with json_object.shaped(path, "manifest of token shards", REPACK):
        return _manifest(folder, raw)


def _manifest(folder: Path, raw: dict[str, Any]) -> Manifest:
    tokenizer = folder / raw["tokenizer"]["path"]
    file = tokenizer / "tokenizer.json"
    found = _sha256(file) if file.is_file() else "no file"
    if found != raw["tokenizer"]["sha256"]:
        raise SeedbedError(
            f"{file} is not the tokenizer that packed these shards: sha256 {found[:16]}, "
            f"the manifest says {raw['tokenizer']['sha256'][:16]}",
            "put the tokenizer back, or " + REPACK,
        )
    shards = [
        Shard(
            split=one["split"],
            prefix=folder / one["prefix"],
            tokens=one["tokens"],
            documents=one["documents"],
            bin_bytes=one["bin_bytes"],
            bin_sha256=one["bin_sha256"],
            idx_sha256=one["idx_sha256"],
        )
        for one in raw["shards"]
    ]
    content = [
        raw["tokenizer"]["sha256"],
        *([s.split, s.prefix.name, s.bin_sha256, s.idx_sha256] for s in shards),
    ]
    whole = [raw["tokenizer"]["vocab_size"], raw["tokenizer"]["eod"], *raw["tables"].values()]
    whole += [number for s in shards for number in (s.tokens, s.documents, s.bin_bytes)]
    if not all(type(number) is int and number >= 0 for number in whole):
        raise ValueError("a count is no whole number from 0 on")
    if raw["dtype"] not in _DTYPES:
        raise ValueError(f"its tokens are {raw['dtype']!r}")
    return Manifest(
        folder=folder,
        tokenizer=tokenizer,
        tokenizer_sha256=raw["tokenizer"]["sha256"],
        vocab_size=raw["tokenizer"]["vocab_size"],
        eod=raw["tokenizer"]["eod"],
        dtype=raw["dtype"],
        shards=shards,
        tables=raw["tables"],
        identity=hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16],
    )


def read_sources(data: DataConfig, output: Path) -> dict[str, Manifest]:
    """name -> manifest, for every source of the blend, or for output/tokens alone.

    Raises:
        SeedbedError: where the tokenizers of the sources differ.
    """
    if not data.blend:
        return {"tokens": read_manifest(output / "tokens")}
    found = {source.name: read_manifest(local_tokens(source.tokens)) for source in data.blend}
    first = next(iter(found))
    for name, manifest in found.items():
        if manifest.tokenizer_sha256 != found[first].tokenizer_sha256:
            raise SeedbedError(
                f"data.blend mixes tokenizers: {first} has {found[first].tokenizer_sha256[:16]}, "
                f"{name} has {manifest.tokenizer_sha256[:16]}",
                "pack every source with the same tokenizer",
            )
    return found


def byte_lengths(manifest: Manifest) -> np.ndarray:
    """float32 [vocab_size]: how many bytes of text each id stands for; 0 for special tokens.

    A byte-level vocabulary writes a token with one character for each byte.
    """
    raw = json.loads((manifest.tokenizer / "tokenizer.json").read_text())
    lengths = np.zeros(manifest.vocab_size, dtype=np.float32)
    for token, number in raw["model"]["vocab"].items():
        lengths[number] = len(token)
    for added in raw["added_tokens"]:
        lengths[added["id"]] = 0
    return lengths


def verify_shards(manifest: Manifest, contents: bool) -> None:
    """Check that every shard is there with the promised size.

    With `contents`, also check its hashes, and that every id lies in the vocabulary. That reads
    everything once, at about 1 GB/s.

    Raises:
        SeedbedError: for the first shard that fails.
    """
    for shard in manifest.shards:
        binary, index = shard.prefix.with_suffix(".bin"), shard.prefix.with_suffix(".idx")
        for file in (binary, index):
            if not file.is_file():
                raise SeedbedError(f"token shard {file} is missing", REPACK)
        size = binary.stat().st_size
        if size != shard.bin_bytes:
            raise SeedbedError(
                f"token shard {binary} has {size} bytes; the manifest says {shard.bin_bytes}",
                REPACK,
            )
        width = np.dtype(manifest.dtype).itemsize
        if size != shard.tokens * width:
            raise SeedbedError(
                f"token shard {binary}: {shard.tokens} tokens * {width} bytes = "
                f"{shard.tokens * width}, not {size}",
                REPACK,
            )
        header = index.read_bytes()[: _IDX_HEADER.size]
        if len(header) < _IDX_HEADER.size or header[:9] != _IDX_MAGIC:
            raise SeedbedError(f"{index} is not a Megatron index (or is cut short)", REPACK)
        sequences = _IDX_HEADER.unpack(header)[3]
        if sequences != shard.documents:
            raise SeedbedError(
                f"{index} holds {sequences} documents; the manifest says {shard.documents}", REPACK
            )
        if contents:
            _verify_contents(manifest, shard, binary, index)


def _verify_contents(manifest: Manifest, shard: Shard, binary: Path, index: Path) -> None:
    if _sha256(index) != shard.idx_sha256:
        raise SeedbedError(f"{index} differs from what the packer wrote (sha256)", REPACK)
    digest, largest = hashlib.sha256(), -1
    with binary.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
            largest = max(largest, int(np.frombuffer(block, dtype=manifest.dtype).max()))
    if digest.hexdigest() != shard.bin_sha256:
        raise SeedbedError(
            f"token shard {binary} differs from what the packer wrote (sha256)", REPACK
        )
    if largest >= manifest.vocab_size:
        raise SeedbedError(
            f"token shard {binary} holds id {largest}; the tokenizer's ids end at "
            f"{manifest.vocab_size - 1}",
            REPACK,
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
