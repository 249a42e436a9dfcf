"""Submitted by a test: prints, for each executor, where Python and our packages come from."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import SparkSession


def origins(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row per row: the Python of this worker, and the files and folders it imports from."""
    import numba

    import conf
    import seedbed
    import spark_jobs

    files = [module.__file__ for module in (conf, numba, seedbed, spark_jobs)]
    # Entries such as "." are read from the worker's own folder.
    found = json.dumps([os.path.abspath(path) for path in (sys.executable, *files, *sys.path)])
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"found": [found] * batch.num_rows})


if __name__ == "__main__":
    spark = SparkSession.builder.appName("where from").getOrCreate()
    rows = spark.range(8).repartition(4).mapInArrow(origins, "found string").distinct()
    for row in rows.collect():
        print(f"FOUND {row.found}")
