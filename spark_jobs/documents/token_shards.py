"""Writes and checks token shards: NAME.bin, NAME.idx and NAME.json.

NAME.json is the record of the other two files. It is written last and marks them as whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from seedbed import storage
from seedbed.kernels.tokens.indexed_dataset import IndexedDatasetWriter, read_lengths

FOLDER = "tokens"
OURS = re.compile(r"(train|val)-\d{5}\.(bin|idx|json)(\..*)?")


def write_shard(
    root: str, name: str, documents: Iterable[bytes], dtype: str, made_from: str, attempt: str
) -> None:
    """Write one shard from the token bytes of its documents, in order.

    root: the run's folder or URI. name: train-NNNNN or val-NNNNN. documents: bytes of `dtype`.
    made_from: a hash of all that the shard depends on, for `finished`. attempt: a name that keeps
    the temporary files of concurrent attempts apart. All attempts write equal files, so it does not
    matter which one is moved into place last.
    """
    files = storage.files_of(root)
    with files.open_writer(f"{FOLDER}/{name}.bin", attempt) as stream:
        writer = IndexedDatasetWriter(stream, dtype)
        for tokens in documents:
            writer.add_document(tokens)
    index = writer.index()
    with files.open_writer(f"{FOLDER}/{name}.idx", attempt) as stream:
        stream.write(index)
    record = {
        "split": name.split("-")[0],
        "prefix": name,
        "tokens": writer.tokens,
        "documents": writer.documents,
        "bin_bytes": writer.tokens * np.dtype(dtype).itemsize,
        "bin_sha256": writer.bin_sha256,
        "idx_sha256": sha256(index),
    }
    storage.write_text(
        root, f"{FOLDER}/{name}.json", json.dumps({**record, "made_from": made_from})
    )


def finished(root: str, made_from: str) -> dict[str, dict[str, Any]]:
    """Name -> record of each whole shard that was made from `made_from`."""
    sizes = storage.file_sizes(root, FOLDER)
    found = {}
    for file in sizes:
        name, kind = os.path.splitext(file)
        if kind != ".json" or not OURS.fullmatch(file):
            continue
        record = json.loads(storage.read_text(root, f"{FOLDER}/{file}") or "{}")
        whole = sizes.get(f"{name}.bin") == record["bin_bytes"] and f"{name}.idx" in sizes
        if whole and record.pop("made_from") == made_from:
            found[name] = record
    return found


def clear_others(root: str, keep: Iterable[str]) -> None:
    """Delete every shard file whose name is not in `keep`, and the files of killed attempts."""
    kept = {f"{name}.{kind}" for name in keep for kind in ("bin", "idx", "json")}
    for file in storage.file_sizes(root, FOLDER):
        if OURS.fullmatch(file) and file not in kept:
            storage.delete(root, f"{FOLDER}/{file}")


def lengths(root: str, name: str) -> np.ndarray:
    """Tokens of each document of a shard, int32 (documents,), in order, from its .idx."""
    with storage.files_of(root).open_reader(f"{FOLDER}/{name}.idx") as stream:
        return read_lengths(stream)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
