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
   holds the similarity. A worker holds the shingles of one component's survivors and a batch. Where
   edges join all members to the best one, as in every pair, no text is read again.
4. A component of more than near.component_cap members is cut into pieces of that size, in the order
   of their signatures, so that most near duplicates stay together. Each piece is treated by itself
   and keeps at least one survivor.

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
from seedbed.kernels.near_dup.leaders import leaders
from seedbed.kernels.near_dup.shingles import Hashes, distinct, select, shingle_hashes
from spark_jobs.near_dup.components import connected
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import Summary, TableJob, main

# Number of clusters that the summary names.
LARGEST = 10
GROUP = ["component_id", "piece"]
_LED = "content_sha256 string, component_id string, keeper string, jaccard double"

Batches = Iterator[pa.RecordBatch]


def transform(ctx: Context) -> Iterator[tuple[str, DataFrame]]:
    """Yields (clusters, rows)."""
    ctx.size_shuffles()
    with ctx.materialize(JOB.name) as materialize:
        components = materialize(
            connected(ctx.inputs["near_edges"], ctx, "near_edges"), "components"
        )
        members = materialize(ranked(in_pieces(components, ctx), ctx), "ranks")
        settled = materialize(
            settled_by_edges(members, ctx.inputs["near_edges"], ctx.cfg.near), "settled by edges"
        )
        open_ones = materialize(
            members.join(settled, "content_sha256", "left_anti"), "members to compare"
        )
        led = materialize(
            settled.unionByName(with_survivors(open_ones, ctx.inputs["contents"], ctx.cfg.near)),
            "survivors",
        )
        yield "clusters", rows_of(led, ctx.inputs["contents"])


def in_pieces(components: DataFrame, ctx: Context) -> DataFrame:
    """`components` (content_sha256, component_id) with `piece`, 0 where none had to be cut."""
    cap = ctx.cfg.near.component_cap
    sized = components.withColumn("size", F.count("*").over(Window.partitionBy("component_id")))
    large = sized.filter(F.col("size") > cap)
    if large.isEmpty():
        return components.withColumn("piece", F.lit(0))
    signed = large.join(
        ctx.inputs["signatures"].select("content_sha256", "signature"), "content_sha256"
    )
    alike = Window.partitionBy("component_id").orderBy("signature", "content_sha256")
    cut = signed.withColumn("piece", F.floor((F.row_number().over(alike) - 1) / cap).cast("int"))
    columns = ["content_sha256", "component_id", "piece"]
    small = sized.filter(F.col("size") <= cap).withColumn("piece", F.lit(0))
    return small.select(*columns).unionByName(cut.select(*columns))


def ranked(members: DataFrame, ctx: Context) -> DataFrame:
    """`members` with `place`, which is 1 for the best of its piece."""
    stars = ctx.inputs["repos"].select("repo", "revision", "stars", "last_commit")
    standing = (
        ctx.inputs["files"]
        .join(members.select("content_sha256"), "content_sha256", "left_semi")
        .join(stars, ["repo", "revision"], "left")
        .groupBy("content_sha256")
        .agg(
            F.max(F.col("license").isNotNull()).alias("licensed"),
            F.max("stars").alias("stars"),
            F.max("last_commit").alias("last_commit"),
        )
    )
    best_first = Window.partitionBy(*GROUP).orderBy(
        F.desc_nulls_last("licensed"),
        F.desc_nulls_last("stars"),
        F.desc_nulls_last("last_commit"),
        "content_sha256",
    )
    placed = members.join(standing, "content_sha256", "left").withColumn(
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
    texts = members.join(contents.select("content_sha256", "text"), "content_sha256")
    return (
        texts.repartition(*GROUP)
        .select("content_sha256", *GROUP, "text", "place")
        .mapInArrow(_leading(near), _LED)
    )


def _leading(near: NearSettings) -> Callable[[Batches], Batches]:
    def lead_batches(batches: Batches) -> Batches:
        # The survivors so far of the last group, which the next batch may continue.
        held: list[pa.RecordBatch] = []
        held_sets = Hashes(np.zeros(0, np.uint64), np.zeros(1, np.int64))
        every = list(batches)
        if not every:
            return
        order = [("component_id", "ascending"), ("piece", "ascending"), ("place", "ascending")]
        table = pa.Table.from_batches(every).sort_by(order).drop_columns(["place"])
        for batch in table.to_batches(max_chunksize=512):
            sets = held_sets.followed_by(distinct(shingle_hashes(batch["text"], near.shingle)))
            new = batch.drop_columns(["text"])
            rows = pa.concat_batches([*held, new])
            group = _group_numbers(rows)
            leader, similarity = leaders(sets, group, near.threshold)
            known = len(rows) - len(new)
            yield pa.RecordBatch.from_pydict(
                {
                    "content_sha256": new["content_sha256"],
                    "component_id": new["component_id"],
                    "keeper": rows["content_sha256"].take(pa.array(leader[known:])),
                    "jaccard": pa.array(similarity[known:]),
                }
            )
            lead = np.flatnonzero((leader == np.arange(len(leader))) & (group == group[-1]))
            held, held_sets = [rows.take(pa.array(lead))], select(sets, lead)

    return lead_batches


def _group_numbers(rows: pa.RecordBatch) -> np.ndarray:
    """Group numbers, int64 (rows,): one per run of rows with the same component and piece."""
    begins = np.zeros(len(rows), bool)
    for column in GROUP:
        begins[1:] |= pc.not_equal(rows[column][1:], rows[column][:-1]).to_numpy(
            zero_copy_only=False
        )
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
