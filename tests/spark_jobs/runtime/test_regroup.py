"""Batches of a bounded size, with the same rows in the same order."""

from __future__ import annotations

import pyarrow as pa
import pytest

from spark_jobs.runtime.children import regroup
from spark_jobs.runtime.children.regroup import regrouped


def texts(*sizes: int) -> pa.RecordBatch:
    return pa.record_batch({"text": ["x" * size for size in sizes]})


@pytest.fixture
def limits(monkeypatch):
    monkeypatch.setattr(regroup, "MOST_ROWS", 4)


@pytest.mark.parametrize(
    "given",
    [
        [],
        [texts()],
        [texts(1)] * 9,
        [texts(*range(100))],
        [texts(5000), texts(), texts(1, 2, 3)],
        [texts(300, 300), texts(300, 300)],
    ],
    ids=["none", "empty", "small", "large", "one row", "by bytes"],
)
def test_small_batches_are_joined_and_large_ones_cut(limits, given):
    found = list(regrouped(iter(given), 1000))
    rows = [text for batch in given for text in batch["text"].to_pylist()]
    assert [text for batch in found for text in batch["text"].to_pylist()] == rows
    for batch in found:
        assert 1 <= batch.num_rows <= 4
        assert batch.num_rows == 1 or batch.nbytes <= 1000


def test_batches_are_joined_as_long_as_rows_and_bytes_allow(limits):
    assert [len(batch) for batch in regrouped(iter([texts(1)] * 9), 1000)] == [4, 4, 1]
    assert [len(batch) for batch in regrouped(iter([texts(300)] * 5), 1000)] == [3, 2]


def test_no_more_is_read_than_a_batch_needs(limits):
    read = []

    def source():
        for number in range(100):
            read.append(number)
            yield texts(1)

    next(regrouped(source(), 1000))
    assert len(read) <= 5
