"""Sixteen contents over four shards, which the tests of the runtime write and add to."""

from __future__ import annotations

from pyspark.sql import functions as F

from spark_jobs.runtime.store import Store, shard_of

HASHES = [f"{i:x}" * 64 for i in range(16)]


def add_contents(store: Store, hashes: list[str]) -> None:
    """One short text for each hash."""
    rows = store.spark.createDataFrame(
        [(h, "x", 1, "Python") for h in hashes],
        "content_sha256 string, text string, bytes long, language string",
    )
    store.append(
        "contents",
        rows.withColumn("shard", shard_of(F.col("content_sha256"), 4)),
        {"job": "test"},
        step="b",
    )
