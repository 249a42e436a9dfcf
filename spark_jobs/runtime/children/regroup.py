"""Batches of a size that suits a function, out of batches of any size."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

# Bytes and rows of a batch at most, but a single row may have more bytes. A kernel may need 20
# times the bytes. Rows cost Python time and memory each.
MOST_BYTES = 8 << 20
MOST_ROWS = 2048
# Bytes of a batch that goes to one of several children. The last one keeps the others waiting.
SHARED_BYTES = 1 << 20


def regrouped(batches: Iterator[pa.RecordBatch], most_bytes: int) -> Iterator[pa.RecordBatch]:
    """The same rows in the same order: small batches joined, large ones cut. None is empty."""
    waiting: list[pa.RecordBatch] = []
    size = rows = 0
    for batch in batches:
        for piece in _pieces(batch, most_bytes):
            if size + piece.nbytes > most_bytes or rows + piece.num_rows > MOST_ROWS:
                if waiting:
                    yield _joined(waiting)
                waiting, size, rows = [], 0, 0
            waiting.append(piece)
            size += piece.nbytes
            rows += piece.num_rows
    if waiting:
        yield _joined(waiting)


def _pieces(batch: pa.RecordBatch, most_bytes: int) -> Iterator[pa.RecordBatch]:
    """Halves of halves, until each is small enough."""
    rows = batch.num_rows
    if rows > 1 and (rows > MOST_ROWS or batch.nbytes > most_bytes):
        yield from _pieces(batch.slice(0, rows // 2), most_bytes)
        yield from _pieces(batch.slice(rows // 2), most_bytes)
    elif rows:
        yield batch


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
