"""`mapInArrow` for Python functions, whatever the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame

Batches = Iterator[pa.RecordBatch]


def map_in_arrow(frame: DataFrame, function: Callable[[Batches], Batches], ddl: str) -> DataFrame:
    """The rows that `function` makes of the rows of `frame`."""
    return frame.mapInArrow(function, ddl)
