"""The last step of `make java`: fetches the Delta jars, and tests them with a write and a read.

Spark itself fetches them. Ivy keeps them in its cache, so later starts work without a network.
"""

from __future__ import annotations

import sys
import tempfile

from conf.errors import SeedbedError, run_cli
from conf.schema.curate import SparkSettings
from spark_jobs.runtime import session
from spark_jobs.runtime.engines import jvm


def main(argv: list[str]) -> int:
    """Exit status 0. Raises SeedbedError where Delta does not read back what it wrote."""
    settings = SparkSettings(engine="spark", master="local[1]", memory="1g")
    spark = session.start(settings, app="fetch jars")
    with tempfile.TemporaryDirectory() as folder:
        spark.range(3).write.format("delta").save(f"{folder}/probe")
        rows = spark.read.format("delta").load(f"{folder}/probe").count()
    session.stop()
    if rows != 3:
        raise SeedbedError(
            f"a Delta table of 3 rows was read back with {rows}",
            "remove the Ivy cache and run make java again",
        )
    print(f"{jvm.delta_package()} is in the Ivy cache; write and read work")
    return 0


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
