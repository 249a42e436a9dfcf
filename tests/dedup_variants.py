"""Near dedup of one run's contents in several variants, all in one session.

    python -m tests.dedup_variants RUN FOLDER ENGINE,MASTER PARTITIONS,AQE,SEED,DRIVER_EDGES [more]

Each variant has its own partitions and query plans, and writes a run to FOLDER/<number>. SEED draws
the order of the rows of its input tables.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pyspark.sql import functions as F

from conf.loader import load
from conf.schema.curate import CurateConfig, SparkSettings
from spark_jobs import graph
from spark_jobs.runtime import session
from spark_jobs.runtime.store import Store

JOBS = ("sign_contents", "find_near_pairs", "cluster_near_dups")


def main(run: str, folder: str, where: str, *variants: str) -> None:
    engine, master = where.split(",", 1)
    settings = SparkSettings(engine=engine, master=master, memory="1g")
    spark = session.start(settings, "seedbed-variants")
    given = Store(lambda: spark, run)
    for number, variant in enumerate(variants):
        partitions, aqe, seed, driver_edges = variant.split(",")
        spark.conf.set("spark.sql.shuffle.partitions", partitions)
        spark.conf.set("spark.sql.adaptive.enabled", aqe)
        output = f"{folder}/{number}"
        Path(output).mkdir(parents=True)
        for table in ("contents", "files", "repos"):
            rows = given.read(table).orderBy(F.rand(int(seed))).repartition(int(partitions))
            Store(lambda: spark, output).overwrite(table, rows, {})
        graph.run(
            load(
                CurateConfig,
                None,
                [f"output={output}", f"near.driver_edges={driver_edges}", "shards=2"],
            ),
            JOBS,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
