"""label_quality: the oracle's label file + contents -> labels, one row per content that the oracle has scored.

    spark-submit spark_jobs/label_quality.py --config conf/curate/local.yaml output=DIR [labels.path=FILE labels.oracle=NAME]

The file is JSON lines with the content's SHA-256, so it carries no code: a label counts wherever its content turns up, and
lines whose content is not in `contents` are passed over. The file's own hash is a parameter of the table: labels of an
edited file never mix with older ones under the same oracle name.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import run_cli
from spark_jobs import label_file
from spark_jobs.job import Context, ShardJob, main
from spark_jobs.tables import TABLES

TEXT = ("content_sha256", "zero_reason")  # columns of a label that are not numbers


def parameters(ctx: Context) -> dict[str, Any]:
    return {"oracle": ctx.cfg.labels.oracle, "labels_sha256": label_file.digest(ctx.cfg.labels.path)}


def due(ctx: Context) -> DataFrame:
    """Contents that have a label, with the label's columns and `oracle`."""
    labels = label_file.read(ctx.cfg.labels.path)
    types = [(name, pa.string() if name in TEXT else pa.float64()) for name in label_file.COLUMNS]
    frame = ctx.spark.createDataFrame(pa.Table.from_pylist(list(labels), pa.schema(types)))
    contents = ctx.inputs["contents"].select("content_sha256", "bytes", "shard")
    return contents.join(F.broadcast(frame), "content_sha256").withColumn("oracle", F.lit(ctx.cfg.labels.oracle))


def label(due_rows: DataFrame, ctx: Context) -> DataFrame:
    """Rows of `labels` for the due rows of one shard."""
    return due_rows.select(*TABLES["labels"].columns)


JOB = ShardJob(name="label_quality", output="labels", params=parameters, transform=label, due=due)

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
