"""`mapInArrow` on every engine: Python functions use all cores.

Spark runs a Python function in a process per core. An engine that runs it in threads of its server
gives all of them one interpreter lock, so there each partition's function runs in a child process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pyarrow as pa
from pyspark.serializers import CloudPickleSerializer
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from spark_jobs.runtime.children import pool

Batches = Iterator[pa.RecordBatch]
Function = Callable[[Batches], Batches]


def map_in_arrow(frame: DataFrame, function: Function, ddl: str | StructType) -> DataFrame:
    """`frame.mapInArrow(function, ddl)`, with the function in processes on every engine."""
    if python_in_threads(frame):
        function = in_child(function)
    return frame.mapInArrow(function, ddl)


def python_in_threads(frame: DataFrame) -> bool:
    return True


def in_child(function: Function) -> Function:
    """`function` as one that runs it in a child process of the process where it is called."""
    blob = CloudPickleSerializer().dumps(function)
    stage = uuid4().hex

    def run_in_child(batches: Batches) -> Batches:
        yield from pool.POOL.run(stage, blob, batches)

    return run_in_child
