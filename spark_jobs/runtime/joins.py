"""Joins of texts with keys.

Sail reads the whole left side of a join into memory, outside the part of the pool that can spill,
and streams the right one. Spark sorts both sides, or broadcasts the small one, whatever the order.
So the texts of a corpus stand on the right, in every job.
"""

from __future__ import annotations

from pyspark.sql import DataFrame


def having(rows: DataFrame, keys: DataFrame, names: list[str]) -> DataFrame:
    """The rows whose columns `names` are in `keys`: a left semi join that holds the keys alone.

    rows: may hold texts. keys: may hold a key twice, and other columns.
    """
    return keys.select(*names).distinct().join(rows, names)
