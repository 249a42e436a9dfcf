"""near_edges, contents, signatures, files, repos -> clusters: a cluster and a survivor per content.

    spark-submit spark_jobs/cluster_near_dups.py --config conf/curate/local.yaml output=DIR

1. Components. The graph of verified edges is cut into connected components
   (spark_jobs/near_dup/components.py).
2. Ranks. In each component the best member has a known licence, then more stars, then a newer last
   commit, then the smaller content_sha256. Each criterion takes the best of all files that hold the
   content.
3. Survivors. Similarity is not transitive, so a component may chain contents that have little in
   common. The members come best first, with their texts. Each joins the first survivor to which its
   true Jaccard reaches near.threshold, or survives (seedbed/kernels/near_dup/leaders.py). So every
   dropped content is a near duplicate of the content that is kept for it, and `clusters.jaccard`
   holds the similarity. Where edges join all members to the best one, as in every pair, no text is
   read again. The others are packed into bins of text (near_dup/bins.py), and a worker holds a bin.
4. A component of more than near.component_cap members or PIECE bytes is cut into pieces of that
   size, in the order of their signatures, so that most near duplicates stay together. Each piece is
   treated by itself and keeps at least one survivor.

Where an earlier run of the same parameters is there, only components that changed since are treated
(spark_jobs/near_dup/touched.py). All other rows are taken over.

The rows do not depend on file order, partitions or executors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from conf.errors import run_cli
from conf.schema.curate import NearSettings
from seedbed.kernels.near_dup.evidence import shingle_sets
from seedbed.kernels.near_dup.leaders import leaders
from spark_jobs.near_dup.bins import Binned, apply_to_bins, text_cost, with_bin
from spark_jobs.near_dup.components import connected
from spark_jobs.near_dup.standing import STANDING, standing
from spark_jobs.near_dup.touched import last_clusters, touched
from spark_jobs.near_dup.verification import Materialize
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import Summary, TableJob, main

# Number of clusters that the summary names.
LARGEST = 10
GROUP = ["component_id", "piece"]
_LED = "content_sha256 string, component_id string, keeper string, jaccard double"
# Bytes of text and signatures that a piece may have. A worker holds about three times as many.
PIECE = 128 << 20


def transform(ctx: Context) -> Iterator[tuple[str, DataFrame]]:
    """Yields (clusters, rows)."""
    ctx.size_shuffles()
    with ctx.materialize(JOB.name) as materialize:
        last = last_clusters(ctx, JOB.name, JOB.writes, parameters(ctx), JOB.reads)
        again = None if last is None else touched(last, ctx, materialize)
        if last is None or again is None:
            led = clustered(ctx.inputs["near_edges"], {}, ctx, materialize)
            yield "clusters", rows_of(led, ctx.inputs["contents"])
            return
        # All edges of a touched content lie between touched ones.
        theirs = again.withColumnRenamed("content_sha256", "a")
        edges = ctx.inputs["near_edges"].join(theirs, "a", "left_semi")
        led = clustered(materialize(edges, "touched edges"), last.inputs, ctx, materialize)
        yield "clusters", taken_over(last.rows, again, led, ctx.inputs["contents"])


def clustered(
    edges: DataFrame, since: dict[str, int], ctx: Context, materialize: Materialize
) -> DataFrame:
    """(content_sha256, component_id, keeper, jaccard) of the contents that have one of `edges`.

    edges: those of whole components. since: the inputs of the run whose components are left out.
    """
    near, contents = ctx.cfg.near, ctx.inputs["contents"]
    ends = edges.select(F.unhex("a").alias("a"), F.unhex("b").alias("b"))
    made_from = {name: ctx.inputs.version(name) for name in ("near_edges", "files", "repos")}
    found = connected(ends, ctx, "near_edges", {"made_from": made_from, "since": since})
    components = materialize(found, "components")
    members = materialize(ranked(in_pieces(components, ctx), ctx), "ranks")
    settled = materialize(settled_by_edges(members, edges, near), "settled by edges")
    open_ones = materialize(
        members.join(settled, "content_sha256", "left_anti"), "members to compare"
    )
    if open_ones.isEmpty():
        return settled
    compared = with_survivors(open_ones, contents, near)
    return materialize(settled.unionByName(compared), "survivors")


def in_pieces(components: DataFrame, ctx: Context) -> DataFrame:
    """`components` (content_sha256, component_id) with `piece`, 0 where none had to be cut."""
    cap = ctx.cfg.near.component_cap
    costs = ctx.inputs["contents"].select("content_sha256", text_cost().alias("cost"))
    whole = Window.partitionBy("component_id")
    sized = components.join(costs, "content_sha256").withColumns(
        {"size": F.count("*").over(whole), "total": F.sum("cost").over(whole)}
    )
    too_large = (F.col("size") > cap) | (F.col("total") > PIECE)
    large = sized.filter(too_large)
    if large.isEmpty():
        return components.withColumn("piece", F.lit(0))
    signed = large.join(
        ctx.inputs["signatures"].select("content_sha256", "signature"), "content_sha256"
    )
    # Sail orders no window by binary values.
    alike = whole.orderBy(F.hex("signature"), "content_sha256")
    sums = alike.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    # A piece ends where either of the two is full.
    cut = signed.withColumns(
        {
            "by_size": F.floor((F.row_number().over(alike) - 1) / cap),
            "by_bytes": F.floor((F.sum("cost").over(sums) - F.col("cost")) / PIECE),
        }
    ).withColumn("piece", (F.col("by_size") * 100_000 + F.col("by_bytes")).cast("int"))
    columns = ["content_sha256", "component_id", "piece"]
    small = sized.filter(~too_large).withColumn("piece", F.lit(0))
    return small.select(*columns).unionByName(cut.select(*columns))


def ranked(members: DataFrame, ctx: Context) -> DataFrame:
    """`members` with `place`, which is 1 for the best of its piece."""
    held = standing(members.select("content_sha256"), ctx.inputs["files"], ctx.inputs["repos"])
    best_first = Window.partitionBy(*GROUP).orderBy(
        *(F.desc_nulls_last(name) for name in STANDING), "content_sha256"
    )
    placed = members.join(held, "content_sha256", "left").withColumn(
        "place", F.row_number().over(best_first)
    )
    return placed.select("content_sha256", *GROUP, "place")


def settled_by_edges(members: DataFrame, edges: DataFrame, near: NearSettings) -> DataFrame:
    """The rows of `with_survivors` for groups whose best member has an edge to every other member.

    There the best member is the only survivor, and the edges hold all similarities.
    """
    ends = edges.filter(F.col("jaccard") >= near.threshold).select("a", "b", "jaccard")
    both = ends.unionByName(ends.select(F.col("b").alias("a"), F.col("a").alias("b"), "jaccard"))
    best = members.filter("place = 1").select(*GROUP, F.col("content_sha256").alias("keeper"))
    near_best = both.withColumnsRenamed({"a": "keeper", "b": "content_sha256"})
    known = (
        members.join(best, GROUP)
        .join(near_best, ["keeper", "content_sha256"], "left")
        .withColumn(
            "jaccard",
            F.when(F.col("keeper") == F.col("content_sha256"), 1.0).otherwise(F.col("jaccard")),
        )
        .withColumn(
            "unknown", F.count_if(F.col("jaccard").isNull()).over(Window.partitionBy(*GROUP))
        )
    )
    return known.filter("unknown = 0").select("content_sha256", "component_id", "keeper", "jaccard")


def with_survivors(members: DataFrame, contents: DataFrame, near: NearSettings) -> DataFrame:
    """(content_sha256, component_id, keeper, jaccard) of each member.

    The keeper is the survivor that the member is a near duplicate of, or the member itself.
    """
    costs = contents.select("content_sha256", text_cost().alias("cost"))
    pieces = members.join(costs, "content_sha256").groupBy(*GROUP).agg(F.sum("cost").alias("cost"))
    found = with_bin(pieces, GROUP)
    binned = members.join(found.rows.select(*GROUP, "bin"), GROUP)
    texts = binned.join(contents.select("content_sha256", "text"), "content_sha256")
    return apply_to_bins(Binned(texts, found.tasks), _leading(near), _LED)


def _leading(near: NearSettings) -> Callable[[pa.Table], pa.Table]:
    def lead_bin(table: pa.Table) -> pa.Table:
        rows = table.sort_by([(column, "ascending") for column in (*GROUP, "place")])
        sets = shingle_sets(rows["text"], near.shingle)
        leader, similarity = leaders(sets, _group_numbers(rows), near.threshold)
        hashes = rows["content_sha256"].cast(pa.string())
        return pa.table(
            {
                "content_sha256": hashes,
                "component_id": rows["component_id"].cast(pa.string()),
                "keeper": hashes.take(pa.array(leader)),
                "jaccard": pa.array(similarity),
            }
        )

    return lead_bin


def _group_numbers(rows: pa.Table) -> np.ndarray:
    """Group numbers, int64 (rows,): one per run of rows with the same component and piece."""
    begins = np.zeros(len(rows), bool)
    for column in GROUP:
        begins[1:] |= pc.not_equal(rows[column][1:], rows[column][:-1]).to_numpy()
    return np.cumsum(begins)


def rows_of(led: DataFrame, contents: DataFrame) -> DataFrame:
    """Rows of `clusters` for every content; one that is not in `led` is alone and survives."""
    cluster = Window.partitionBy("keeper")
    clustered = led.withColumns(
        {
            "cluster_id": F.min("content_sha256").over(cluster),
            "cluster_size": F.count("*").over(cluster),
        }
    )
    return (
        contents.select("content_sha256", "shard")
        .join(clustered, "content_sha256", "left")
        .select(
            "content_sha256",
            F.coalesce("cluster_id", "content_sha256").alias("cluster_id"),
            F.coalesce("cluster_size", F.lit(1)).alias("cluster_size"),
            F.coalesce(F.col("keeper") == F.col("content_sha256"), F.lit(True)).alias("survivor"),
            F.coalesce("jaccard", F.lit(1.0)).alias("jaccard"),
            F.coalesce("component_id", "content_sha256").alias("component_id"),
            "shard",
        )
    )


def taken_over(
    before: DataFrame, again: DataFrame, led: DataFrame, contents: DataFrame
) -> DataFrame:
    """Rows of `clusters`: those of `led`, and those of `before` for contents not in `again`.

    A content that is gone has no row, and one that is new and not in `led` survives alone.
    """
    # The number of shards may have changed.
    placed = contents.select("content_sha256", "shard")
    stay = before.drop("shard").join(again, "content_sha256", "left_anti")
    others = placed.join(stay.select("content_sha256"), "content_sha256", "left_anti")
    columns = before.columns
    kept = stay.join(placed, "content_sha256").select(*columns)
    return kept.unionByName(rows_of(led, others).select(*columns))


def summarize(ctx: Context) -> Summary:
    """Contents in, survivors out; the rest are near duplicates.

    The notes hold how many components were split, and the largest clusters.
    """
    clusters = ctx.inputs["clusters"]
    row = clusters.agg(
        F.count("*").alias("contents"),
        F.count_if("survivor").alias("survivors"),
        F.count_if(F.col("survivor") & (F.col("cluster_size") > 1)).alias("clusters"),
    ).first()
    of_component = clusters.groupBy("component_id").agg(
        F.count("*").alias("size"), F.count_if("survivor").alias("survivors")
    )
    split = of_component.filter("survivors > 1").agg(
        F.count("*").alias("components"), F.sum(F.col("survivors") - 1).alias("freed")
    )
    largest = (
        clusters.filter("cluster_size > 1")
        .groupBy("cluster_id")
        .agg(
            F.first("cluster_size").alias("size"),
            F.min("jaccard").alias("lowest"),
            F.avg("jaccard").alias("mean"),
        )
    )
    dropped = row["contents"] - row["survivors"]
    return Summary(
        JOB.name,
        rows_in=row["contents"],
        rows_out=row["survivors"],
        dropped={"duplicate_near": dropped},
        notes={
            "clusters": row["clusters"],
            "components_split": split.first()["components"],
            "contents_freed": split.first()["freed"] or 0,
            "largest_component": of_component.agg(F.max("size")).first()[0] or 0,
            "largest_clusters": [
                [r["cluster_id"][:12], r["size"], round(r["lowest"], 3), round(r["mean"], 3)]
                for r in largest.orderBy(F.desc("size"), "cluster_id").limit(LARGEST).collect()
            ],
        },
    )


def parameters(ctx: Context) -> dict[str, Any]:
    near = ctx.cfg.near
    return {
        "threshold": near.threshold,
        "shingle": near.shingle,
        "component_cap": near.component_cap,
    }


JOB = TableJob(
    name="cluster_near_dups",
    writes=("clusters",),
    params=parameters,
    transform=transform,
    reads=("near_edges", "contents", "signatures", "files", "repos"),
    summarize=summarize,
)

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
