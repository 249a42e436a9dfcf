"""Stars that are drawn anew for affected contents only, against all stars, over many random splits.

All splits are tested in one run.
"""

from __future__ import annotations

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.near_dup import incremental, stars

# The members of a star are few, so that hubs are linked too.
CAP = 3
# Each split has contents and buckets of its own.
SPLITS = 25


def pairs_of(members: DataFrame) -> DataFrame:
    links = stars.star_links(members, stars.hot_buckets(members, CAP), CAP)
    return stars.pairs_of(links).select(F.hex("a").alias("a"), F.hex("b").alias("b"), "band")


def test_stars_of_affected_contents_and_the_rows_that_stay_are_all_pairs(
    spark: SparkSession,
) -> None:
    draw = np.random.default_rng(5)
    rows = []
    for split in range(SPLITS):
        for _ in range(60):
            name, is_new = f"{split:02X}{draw.integers(2**32):08X}", bool(draw.random() < 0.05)
            rows += [
                (name, is_new, band, split * 100 + int(draw.geometric(0.05))) for band in range(4)
            ]
    frame = spark.createDataFrame(rows, "name string, is_new boolean, band int, key long").cache()
    members = frame.select(F.unhex("name").alias("sha"), "band", "key")
    old = frame.filter("not is_new").select(F.unhex("name").alias("sha"), "band", "key")
    fresh = frame.filter("is_new").select(F.unhex("name").alias("sha"), "band", "key")

    affected = (
        incremental.within(members, incremental.buckets_of(fresh))
        .select(F.hex("sha").alias("content_sha256"))
        .distinct()
    )
    theirs = members.join(
        affected.select(F.unhex("content_sha256").alias("sha")), "sha", "left_semi"
    )
    again = pairs_of(incremental.within(members, incremental.buckets_of(theirs)))
    before = set(map(tuple, pairs_of(old).collect()))
    found = list(map(tuple, incremental.merged(again, pairs_of(old), affected).collect()))
    want = set(map(tuple, pairs_of(members).collect()))
    assert sorted(found) == sorted(want)
    # New hubs replaced old ones.
    assert len(before - want) > 5
    assert len(want - before) > 50
    assert 100 < affected.count() < 60 * SPLITS / 2
