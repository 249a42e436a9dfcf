"""Tables of the catalogue as Spark reads and writes them."""

from __future__ import annotations

import pytest
from pyspark.sql import functions as F

from conf.errors import SeedbedError
from spark_jobs.runtime.store import TABLES, shard_of
from tests.spark_jobs.contents import HASHES


def test_shard_is_the_leading_bits_of_the_hash(spark):
    frame = spark.createDataFrame([(h,) for h in HASHES], "h string")
    got = [row[0] for row in frame.select(shard_of(F.col("h"), 4)).collect()]
    assert got == [i // 4 for i in range(16)]
    assert [r[0] for r in frame.select(shard_of(F.col("h"), 16)).collect()] == list(range(16))


def test_a_missing_table_and_a_missing_column_are_named(run, spark):
    with pytest.raises(SeedbedError, match="table clusters does not exist"):
        run.store.read("clusters")
    spark.range(3).write.format("delta").save(run.store.path("syntax"))
    with pytest.raises(SeedbedError, match="lacks column 'content_sha256'"):
        run.store.read("syntax")


def test_a_column_of_another_type_is_named(run, spark):
    columns = ["content_sha256 string", "score string"]
    frame = spark.createDataFrame([("a", "b")], ", ".join(columns))
    rest = [f for f in TABLES["labels"].schema.fields if f.name not in ("content_sha256", "score")]
    frame.select("*", *[F.lit(None).cast(f.dataType).alias(f.name) for f in rest]).write.format(
        "delta"
    ).save(run.store.path("labels"))
    with pytest.raises(SeedbedError, match="column score is string, must be double"):
        run.store.read("labels")
