"""Packs rows into bins of bounded text, so that one call of a Python function holds one bin.

Which bin a row falls into changes no result. It only says what is held in memory together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs.runtime import session
from spark_jobs.runtime.context import MOST_PARTITIONS, TEXT_PER_PARTITION
from spark_jobs.runtime.groups import apply_to_groups

# Bytes of text that a bin is filled with. A bin holds one item more at the most.
BIN = 8 << 20
# Bytes that a content takes beside its text: its signature and its buckets.
PER_CONTENT = 1_200
# Bytes whose bins are counted by one window. It bounds what a task sorts, which is no text.
PER_WINDOW = 64 * BIN


def text_cost(size: str = "bytes") -> Column:
    """Bytes that a content takes in a bin; `size` names the column with those of its text."""
    return F.col(size) + F.lit(PER_CONTENT)


@dataclass(frozen=True)
class Binned:
    """Rows with `bin`, a number, and over how many tasks to spread the bins."""

    rows: DataFrame
    tasks: int


def with_bin(items: DataFrame, key: list[str]) -> Binned:
    """`items` with `bin`.

    Without the last of them, the items of a bin have a `cost` of less than BIN together. key: the
    columns by which items are told apart. Items of equal key[0] come one after the other.
    """
    total = int(items.agg(F.sum("cost")).first()[0] or 0)
    tasks = max(session.engine().parallelism, -(-total // TEXT_PER_PARTITION))
    part = F.pmod(F.xxhash64(key[0]), F.lit(-(-total // PER_WINDOW) or 1))
    earlier = (
        Window.partitionBy("part")
        .orderBy(*key)
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    filled = F.floor((F.sum("cost").over(earlier) - F.col("cost")) / BIN)
    placed = items.withColumn("part", part).withColumn("bin", F.col("part") * (1 << 40) + filled)
    return Binned(placed.drop("part"), min(tasks, MOST_PARTITIONS))


def apply_to_bins(binned: Binned, function: Callable[[pa.Table], pa.Table], ddl: str) -> DataFrame:
    """The rows that `function` makes of the rows of each bin, which come in any order."""
    return apply_to_groups(binned.rows, "bin", binned.tasks, function, ddl)
