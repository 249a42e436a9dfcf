"""Submitted by a test: prints for each executor where Python and our packages come from.

And how many kernels it had to compile, of those that the archive should bring.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession


def origins(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row per row: the Python of this worker, the files and folders it imports from."""
    import numba

    import conf
    import seedbed
    import spark_jobs
    from seedbed.kernels.near_dup import components as kernels

    files = [module.__file__ for module in (conf, numba, seedbed, spark_jobs)]
    # Entries such as "." are read from the worker's own folder.
    paths = [os.path.abspath(path) for path in (sys.executable, *files, *sys.path)]
    kernels.components(2, np.array([0]), np.array([1]))
    compiled = kernels._components.stats.cache_misses.total()
    found = json.dumps({"paths": paths, "compiled": compiled})
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"found": [found] * batch.num_rows})


if __name__ == "__main__":
    spark = SparkSession.builder.appName("where from").getOrCreate()
    rows = spark.range(8).repartition(4).mapInArrow(origins, "found string").distinct()
    for row in rows.collect():
        print(f"FOUND {row.found}")
