"""Which contents to compare: buckets of signatures, and the stars that link their members.

find_near_pairs.py describes the steps. Everywhere `sha`, `hub`, a and b are binary hashes.
seedbed/kernels/near_dup/stars.py has the same rules for documents in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from conf.schema.curate import NearSettings
from seedbed.kernels.near_dup import minhash
from seedbed.kernels.near_dup.stars import REHUBBED
from spark_jobs.runtime import python_map

# The columns that name a star: the bucket and its chunk (-1: the hubs of the chunks). The key comes
# first, because sorting by it is fast.
STAR = ["key", "band", "chunk"]
SO_FAR = (Window.unboundedPreceding, Window.currentRow)

Batches = Iterator[pa.RecordBatch]


def buckets(signatures: DataFrame, near: NearSettings) -> DataFrame:
    """(sha binary, band, key): the buckets of every content that has tokens.

    A content without tokens is in no bucket.
    """

    def rows_of(sha: pa.Array, keys: np.ndarray) -> dict[str, pa.Array]:
        return {
            "sha": sha.take(pa.array(np.repeat(np.arange(len(keys)), near.bands))),
            "band": pa.array(np.tile(np.arange(near.bands, dtype=np.int32), len(keys))),
            "key": pa.array(keys.ravel()),
        }

    return _banded(signatures, near, rows_of, "sha binary, band int, key long")


def bucket_rows(signatures: DataFrame, near: NearSettings) -> DataFrame:
    """(sha binary, keys binary): the same, one row per content.

    keys: the bucket in each band, as 64-bit integers, little-endian.
    """

    def rows_of(sha: pa.Array, keys: np.ndarray) -> dict[str, pa.Array]:
        return {"sha": sha, "keys": minhash.to_binary(keys.view("<u4"))}

    return _banded(signatures, near, rows_of, "sha binary, keys binary")


def _banded(
    signatures: DataFrame,
    near: NearSettings,
    rows_of: Callable[[pa.Array, np.ndarray], dict[str, pa.Array]],
    ddl: str,
) -> DataFrame:
    """The rows that `rows_of` makes of hashes and their buckets, int64 (contents, bands)."""
    num_perm, bands, rows = near.num_perm, near.bands, near.rows
    signed = signatures.filter("shingles > 0").select(
        F.unhex("content_sha256").alias("sha"), "signature"
    )

    def band_batches(batches: Batches) -> Batches:
        for batch in batches:
            signature = minhash.from_binary(batch["signature"], num_perm)
            keys = minhash.band_keys(signature, bands, rows)
            yield pa.RecordBatch.from_pydict(rows_of(batch["sha"], keys))

    return python_map.map_in_arrow(signed, band_batches, ddl)


def hot_buckets(members: DataFrame, cap: int) -> DataFrame:
    """(band, key, size) of the buckets with more than `cap` members.

    Spark combines the counts of each partition before it shuffles them.
    """
    sizes = members.groupBy("band", "key").agg(F.count("*").alias("size"))
    return sizes.filter(F.col("size") > cap)


@dataclass(frozen=True)
class Hot:
    """How many hot buckets there are, with how many members in all and in the fullest."""

    buckets: int
    members: int
    fullest: int


def count_hot(hot: DataFrame) -> Hot:
    row = hot.agg(F.count("*"), F.sum("size"), F.max("size")).first()
    return Hot(row[0], row[1] or 0, row[2] or 0)


def report_hot(hot: Hot, cap: int, job: str) -> None:
    """Print one line where there are hot buckets, which boilerplate in many files makes."""
    if hot.buckets:
        print(
            f"{job:<18} {hot.buckets:,} buckets hold more than near.bucket_cap={cap:,} "
            f"members, {hot.members:,} in all, the fullest {hot.fullest:,}: "
            f"cut into stars of about {cap:,}",
            flush=True,
        )


def star_links(members: DataFrame, hot: DataFrame, cap: int) -> DataFrame:
    """(band, key, chunk, hub, sha): each member of a star with its hub; hub < sha.

    There is one shuffle, of (hash, band, key, chunk). A hot bucket's members are spread by their
    hash and not by their number. So its chunks are known before the shuffle and fall into different
    tasks.
    """
    # Ordered, so that Sail reads a sorted star row by row. It holds all rows of a task for a
    # window without an order. Sail orders no window by binary values.
    star = Window.partitionBy(*STAR).orderBy(F.hex("sha")).rowsBetween(*SO_FAR)
    pieces = F.ceil(F.coalesce("size", F.lit(1)) / cap)
    placed = members.join(hot, ["band", "key"], "left").withColumn("pieces", pieces)
    placed = placed.withColumn("chunk", F.pmod(F.xxhash64("sha"), "pieces").cast("int"))
    placed = placed.withColumn("hub", F.first("sha").over(star))
    if hot.isEmpty():
        return placed.filter("sha != hub").select(*STAR, "hub", "sha")
    hubs = placed.filter("sha = hub and pieces > 1").withColumn("chunk", F.lit(-1))
    hubs = hubs.withColumn("hub", F.first("sha").over(star))
    return placed.unionByName(hubs).filter("sha != hub").select(*STAR, "hub", "sha")


def pairs_of(links: DataFrame) -> DataFrame:
    """(a, b, band): each linked pair once, a < b, with the smallest band that found it."""
    return links.groupBy(F.col("hub").alias("a"), F.col("sha").alias("b")).agg(
        F.min("band").alias("band")
    )


def second_look(links: DataFrame, verified: DataFrame, threshold: float) -> DataFrame:
    """(a, b, band): the pairs of step 5 that are not in `verified`, each once, a < b."""
    failed = verified.filter(F.col("jaccard") < threshold).select(
        F.unhex("a").alias("hub"), F.unhex("b").alias("sha")
    )
    # Sail orders no window by binary values.
    order = Window.partitionBy(*STAR).orderBy(F.hex("sha"))
    rehubbed = (
        links.join(failed, ["hub", "sha"])
        .withColumn("rank", F.row_number().over(order))
        .filter(F.col("rank") <= REHUBBED)
        .select(*STAR, F.col("sha").alias("again"))
    )
    pairs = rehubbed.join(links, STAR).filter("again != sha")
    ordered = pairs.select(
        "band", F.least("again", "sha").alias("hub"), F.greatest("again", "sha").alias("sha")
    )
    seen = verified.select(F.unhex("a").alias("a"), F.unhex("b").alias("b"))
    return pairs_of(ordered).join(seen, ["a", "b"], "left_anti")
