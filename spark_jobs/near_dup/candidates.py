"""Candidate components: what the stars link, before any text is read.

The driver finds them from the buckets alone, where these take no more memory than the edges that
it may hold (near.driver_edges): 10 million edges are 80 million buckets. Above that stars are drawn
by the engine, and components.py joins them. Both ways give the same components.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seedbed.kernels.near_dup import minhash
from seedbed.kernels.near_dup.components import components
from seedbed.kernels.near_dup.stars import star_links
from spark_jobs.near_dup import stars
from spark_jobs.near_dup.components import connected
from spark_jobs.near_dup.verification import Materialize, hexadecimal
from spark_jobs.runtime.context import Context

# An edge has two hashes of 32 bytes, a bucket has a key of 8.
BUCKETS_PER_EDGE = 8
_COLUMNS = "content_sha256 binary, component_id binary, cut boolean"


def candidates(ctx: Context, job: str, materialize: Materialize) -> DataFrame:
    """(content_sha256, component_id, cut) of the contents that share a bucket with another one.

    cut: whether the content itself lies in a hot bucket. Prints one line where there are any.
    """
    near, signatures = ctx.cfg.near, ctx.inputs["signatures"]
    if signatures.count() * near.bands <= near.driver_edges * BUCKETS_PER_EDGE:
        return on_driver(signatures, ctx, job)
    return on_engine(signatures, ctx, job, materialize)


def on_driver(signatures: DataFrame, ctx: Context, job: str) -> DataFrame:
    """The candidates by one process, which holds the buckets (8 bytes each) and hashes."""
    near = ctx.cfg.near
    table = stars.bucket_rows(signatures, near).toArrow()
    # Engines differ in the width of their binary columns.
    table = table.cast(pa.schema({"sha": pa.binary(), "keys": pa.binary()}))
    if not len(table):
        return _named(ctx.spark.createDataFrame([], _COLUMNS))
    # The smallest hash of a bucket is its hub.
    table = table.take(pc.sort_indices(table["sha"]))
    keys = minhash.from_binary(table["keys"], 2 * near.bands).view("<i8")
    links = star_links(keys)
    label = components(len(table), links.hub, links.member)

    _, star, others = np.unique(links.star, return_inverse=True, return_counts=True)
    size = others + 1
    is_hot = size > near.bucket_cap
    stars.report_hot(
        stars.Hot(int(is_hot.sum()), int(size[is_hot].sum()), int(size.max(initial=0))),
        near.bucket_cap,
        job,
    )
    linked, cut = np.zeros((2, len(table)), bool)
    for end in (links.hub, links.member):
        linked[end] = True
        cut[end[is_hot[star]]] = True
    if not linked.any():
        return _named(ctx.spark.createDataFrame([], _COLUMNS))
    rows = pa.table(
        {
            "content_sha256": table["sha"].filter(pa.array(linked)),
            "component_id": table["sha"].take(pa.array(label[linked])),
            "cut": pa.array(cut[linked]),
        }
    )
    return _named(ctx.spark.createDataFrame(rows, _COLUMNS))


def _named(found: DataFrame) -> DataFrame:
    columns = (hexadecimal(column).alias(column) for column in ("content_sha256", "component_id"))
    return found.select(*columns, "cut")


def on_engine(signatures: DataFrame, ctx: Context, job: str, materialize: Materialize) -> DataFrame:
    """The candidates by the engine's joins; links are joined by union-find where they are few."""
    near = ctx.cfg.near
    members = stars.buckets(signatures, near)
    hot = materialize(stars.hot_buckets(members, near.bucket_cap), "hot buckets")
    stars.report_hot(stars.count_hot(hot), near.bucket_cap, job)
    links = materialize(stars.star_links(members, hot, near.bucket_cap), "bands and stars")
    pairs = materialize(stars.pairs_of(links).select("a", "b"), "linked contents")
    made_from = {
        "signatures": ctx.inputs.version("signatures"),
        "bands": [near.bands, near.rows, near.bucket_cap],
    }
    found = materialize(connected(pairs, ctx, "candidates", made_from), "candidates")
    if hot.isEmpty():
        return found.withColumn("cut", F.lit(False))
    inside = members.join(hot, ["band", "key"], "left_semi").select(
        hexadecimal("sha").alias("content_sha256"), F.lit(True).alias("inside")
    )
    marked = found.join(inside.distinct(), "content_sha256", "left")
    return marked.select(*found.columns, F.coalesce("inside", F.lit(False)).alias("cut"))
