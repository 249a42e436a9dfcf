"""Megatron's indexed dataset, written as a stream: byte for byte what megatron.core's
IndexedDatasetBuilder writes.

`.bin` is the tokens of all documents, end to end, little-endian. `.idx` is (megatron-core 0.19,
datasets/indexed_dataset.py):

    9 bytes   b"MMIDIDX\\0\\0"
    uint64    version, 1
    uint8     code of the token type: 8 uint16, 4 int32
    uint64    number of sequences S
    uint64    number of document bounds D + 1
    int32[S]  length of each sequence, in tokens
    int64[S]  byte offset of each sequence in .bin
    int64[D + 1]  sequence number at which each document starts, and S

Here a document is one sequence, so S = D.
"""

from __future__ import annotations

import hashlib
import struct
from typing import BinaryIO, Protocol

import numpy as np

MAGIC = b"MMIDIDX\0\0"
HEADER = struct.Struct("<9sQBQQ")
# DType
TYPE_CODES = {"uint16": 8, "int32": 4}
# DType.optimal_dtype: vocabularies below it are stored in two bytes
UINT16_LIMIT = 65_500


class Sink(Protocol):
    """What the writer needs of a stream: files and pyarrow output streams both have it."""

    def write(self, data: bytes, /) -> object: ...


def token_dtype(vocab_size: int) -> str:
    """numpy name of the type that Megatron stores tokens of this vocabulary in."""
    return "uint16" if vocab_size < UINT16_LIMIT else "int32"


class IndexedDatasetWriter:
    """Documents in, `.bin` bytes out as they come; `index()` gives the `.idx` at the end."""

    def __init__(self, bin_stream: Sink, dtype: str):
        self._stream = bin_stream
        self._code = TYPE_CODES[dtype]
        self._itemsize = np.dtype(dtype).itemsize
        self._lengths: list[int] = []
        self._digest = hashlib.sha256()

    def add_document(self, tokens: bytes) -> None:
        """Append one document, given as the bytes of its tokens in the dataset's type."""
        self._stream.write(tokens)
        self._digest.update(tokens)
        self._lengths.append(len(tokens) // self._itemsize)

    @property
    def documents(self) -> int:
        return len(self._lengths)

    @property
    def tokens(self) -> int:
        return sum(self._lengths)

    @property
    def bin_sha256(self) -> str:
        """Digest of what has been written so far."""
        return self._digest.hexdigest()

    def index(self) -> bytes:
        """The bytes of `.idx` for the documents so far."""
        lengths = np.array(self._lengths, "<i4")
        ends = np.cumsum(lengths, dtype="<i8")
        count = len(lengths)
        return b"".join(
            (
                HEADER.pack(MAGIC, 1, self._code, count, count + 1),
                lengths.tobytes(),
                ((ends - lengths) * self._itemsize).astype("<i8").tobytes(),
                np.arange(count + 1, dtype="<i8").tobytes(),
            )
        )


def read_lengths(idx: BinaryIO) -> np.ndarray:
    """Tokens of each document, int32, from an open `.idx`. Raises ValueError for another format."""
    magic, version, _, sequences, bounds = HEADER.unpack(idx.read(HEADER.size))
    if magic != MAGIC or version != 1 or bounds != sequences + 1:
        raise ValueError(
            f"not an index of one sequence a document: magic {magic!r}, version {version}"
        )
    return np.frombuffer(idx.read(4 * sequences), "<i4")
