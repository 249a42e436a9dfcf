"""`mapInArrow` for Python functions, which use all cores on every engine.

Spark runs a Python function in a process per core. An engine that runs it in threads of its server
gives all of them one interpreter lock, so there each partition's function runs in a child process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pyarrow as pa
from pyspark.serializers import CloudPickleSerializer
from pyspark.sql import DataFrame

from spark_jobs.runtime import session
from spark_jobs.runtime.children import pool

Batches = Iterator[pa.RecordBatch]
Function = Callable[[Batches], Batches]


def map_in_arrow(frame: DataFrame, function: Function, ddl: str, by_row: bool = False) -> DataFrame:
    """The rows that `function` makes of the rows of `frame`.

    by_row: the function makes each row from one row. So the batches of one partition may go to
        several processes, each with a call of its own, and may come back in another order.

    Batches may have any size, and their boundaries differ by engine.
    """
    if session.engine().python_in_threads:
        function = in_child(function, by_row)
    return frame.mapInArrow(function, ddl)


def in_child(function: Function, by_row: bool = False) -> Function:
    """`function` as one that runs in a child of the process that calls it; by_row: as above."""
    blob = CloudPickleSerializer().dumps(function)
    stage = uuid4().hex

    def run_in_child(batches: Batches) -> Batches:
        yield from pool.POOL.run(stage, blob, batches, by_row)

    return run_in_child
