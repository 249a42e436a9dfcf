"""Texts with near duplicates of every kind, and the tables that near dedup reads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.loader import load
from conf.schema.curate import CurateConfig, NearSettings
from spark_jobs import cluster_near_dups, find_near_pairs, sign_contents
from spark_jobs.runtime.context import Context, Inputs
from spark_jobs.runtime.store import Store, shard_of
from tests.report import tiny

NEAR = NearSettings()
GENERATOR = np.random.default_rng(11)


def words(count: int) -> list[str]:
    return [f"w{i}" for i in GENERATOR.integers(0, 5000, count)]


def family(size: int, length: int, edits: int) -> list[str]:
    """A text and `size - 1` descendants, each with `edits` more words replaced.

    They form a chain that drifts below the threshold.
    """
    text = words(length)
    versions = [" ".join(text)]
    for _ in range(size - 1):
        for place in GENERATOR.integers(0, length, edits):
            text[place] = f"edit{GENERATOR.integers(0, 10**9)}"
        versions.append(" ".join(text))
    return versions


EMPTY = ["()", "\n\n", "#!", "{}[]"]
SHORT = ["import os", "import  os\n", "import sys"]
TEXTS = (
    # The Jaccard similarity of neighbours is about .88, that of the ends about .55.
    [text for _ in range(12) for text in family(6, 400, 5)]
    + [text for _ in range(4) for text in family(5, 200, 2)]
    + [" ".join(words(300)) for _ in range(20)]
    + EMPTY
    + SHORT
)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write_inputs(store: Store, texts: list[str], seed: int, parts: int) -> None:
    """Write contents, files and repos for `texts`; seed and parts vary their order and files."""
    rows = [(sha(t), t, len(t.encode()), "Python") for t in texts]
    np.random.default_rng(seed).shuffle(rows)
    frame = store.spark.createDataFrame(
        rows, "content_sha256 string, text string, bytes long, language string"
    )
    frame = frame.repartition(parts).withColumn("shard", shard_of(F.col("content_sha256"), 2))
    store.overwrite("contents", frame, {})
    place = {"repo": "r", "revision": "1"}
    files = [{"content_sha256": key, "bytes": size, **place} for key, _, size, _ in rows]
    tiny.write_table(Path(store.root), "files", files)
    tiny.write_table(Path(store.root), "repos", [])


def context(spark: SparkSession, output: Path, *overrides: str) -> Context:
    store = Store(lambda: spark, str(output))
    return Context(load(CurateConfig, None, [f"output={output}", *overrides]), store, Inputs(store))


def sign_and_cluster(
    spark: SparkSession, output: Path, seed: int, parts: int, texts: list[str] | None = None
) -> Store:
    """TEXTS (or `texts`), written in an order and a partitioning of their own, and clustered."""
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", str(parts))
    try:
        ctx = context(spark, output)
        write_inputs(ctx.store, texts or TEXTS, seed, parts)
        sign_contents.JOB.run(ctx)
        find_near_pairs.JOB.run(context(spark, output))
        cluster_near_dups.JOB.run(context(spark, output))
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)
    return ctx.store


def similarity(a: set[int], b: set[int]) -> float:
    return len(a & b) / max(len(a | b), 1)
