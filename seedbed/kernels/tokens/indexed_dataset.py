"""Writes Megatron's indexed dataset as a stream.

The files equal those of megatron.core's IndexedDatasetBuilder byte for byte. `.bin` holds the
tokens of all documents, one after the other, little-endian. `.idx` holds (megatron-core 0.19,
datasets/indexed_dataset.py):

    9 bytes   b"MMIDIDX\\0\\0"
    uint64    version, 1
    uint8     code of the token type: 8 uint16, 4 int32
    uint64    number of sequences S
    uint64    number of document bounds D + 1
    int32[S]  length of each sequence, in tokens
    int64[S]  byte offset of each sequence in .bin
    int64[D + 1]  sequence number at which each document starts, and S

A document is one sequence here, so S = D.
"""

from __future__ import annotations

import hashlib
import struct
from typing import BinaryIO, Protocol

import numpy as np

MAGIC = b"MMIDIDX\0\0"
HEADER = struct.Struct("<9sQBQQ")
# The codes of Megatron's class DType.
TYPE_CODES = {"uint16": 8, "int32": 4}
# Tokens of smaller vocabularies are stored in two bytes, as in DType.optimal_dtype.
UINT16_LIMIT = 65_500


class Sink(Protocol):
    """The part of a stream that the writer needs; files and pyarrow output streams have it."""

    def write(self, data: bytes, /) -> object: ...


def token_dtype(vocab_size: int) -> str:
    """The numpy name of the type in which Megatron stores tokens of this vocabulary."""
    return "uint16" if vocab_size < UINT16_LIMIT else "int32"


class IndexedDatasetWriter:
    """Writes documents to a `.bin` stream as they come; `index()` gives the `.idx` at the end."""

    def __init__(self, bin_stream: Sink, dtype: str):
        self._stream = bin_stream
        self._code = TYPE_CODES[dtype]
        self._itemsize = np.dtype(dtype).itemsize
        self._lengths: list[int] = []
        self._digest = hashlib.sha256()

    def add_document(self, tokens: bytes) -> None:
        """Append one document: the bytes of its tokens in the dataset's type."""
        self._stream.write(tokens)
        self._digest.update(tokens)
        self._lengths.append(len(tokens) // self._itemsize)

    @property
    def documents(self) -> int:
        """Number of documents written so far."""
        return len(self._lengths)

    @property
    def tokens(self) -> int:
        """Number of tokens written so far."""
        return sum(self._lengths)

    @property
    def bin_sha256(self) -> str:
        """SHA-256, hexadecimal, of the bytes written so far."""
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
    """Tokens of each document, int32 (documents,), from an open `.idx`.

    Raises ValueError for another format.
    """
    magic, version, _, sequences, bounds = HEADER.unpack(idx.read(HEADER.size))
    if magic != MAGIC or version != 1 or bounds != sequences + 1:
        raise ValueError(
            f"not an index with one sequence per document: magic {magic!r}, version {version}"
        )
    return np.frombuffer(idx.read(4 * sequences), "<i4")
