"""Stages that run a model: `mapInArrow` with the resources that one task of such a stage needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame

from conf.schema.curate import SparkSettings
from spark_jobs.runtime import python_map


def map_in_arrow(
    rows: DataFrame,
    function: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    ddl: str,
    settings: SparkSettings,
    by_row: bool = False,
) -> DataFrame:
    """The rows that `function`, which runs a model, makes of `rows`.

    by_row: that of python_map.map_in_arrow. It would give a partition several models.

    With spark.gpus_per_task every task of this stage, and of no other, holds that share of a GPU.
    This is stage-level scheduling: it needs YARN, Kubernetes or a standalone cluster, and executors
    that were started with spark.executor.resource.gpu.amount.
    """
    if not settings.gpus_per_task:
        return python_map.map_in_arrow(rows, function, ddl, by_row)
    # A client of Spark Connect has no such classes.
    from pyspark import TaskContext
    from pyspark.resource import ResourceProfileBuilder, TaskResourceRequests

    def on_assigned_gpu(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(
            TaskContext.get().resources()["gpu"].addresses
        )
        yield from function(batches)

    requests = TaskResourceRequests().cpus(1).resource("gpu", settings.gpus_per_task)
    return rows.mapInArrow(
        on_assigned_gpu, ddl, profile=ResourceProfileBuilder().require(requests).build
    )
