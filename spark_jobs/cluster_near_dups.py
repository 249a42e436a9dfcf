"""cluster_near_dups: signatures, contents, files, repos -> near_edges (the evidence), then clusters (a row per content).

    spark-submit spark_jobs/cluster_near_dups.py --config conf/curate/local.yaml output=DIR [near.threshold=0.8 ...]

1. Bands: each signature lands in near.bands buckets (datasketch-compatible MinHash; kernels/minhash.py).
2. Stars: in each bucket every member is paired with the smallest hash, n - 1 pairs and not n (n - 1) / 2. A bucket of more
   than near.bucket_cap members is cut into stars of that many, whose hubs are starred in turn: no hub grows without bound.
3. Verification: the true Jaccard of every pair, from the texts. Texts are shuffled to their hub and streamed past it, so a
   worker holds a hub and a batch, never a bucket, and no process holds the corpus.
4. Second look: a pair that fails says nothing about the failed member and the rest of its bucket. The first REHUBBED
   failed members of each star become hubs and are paired with all of its other members, and those pairs are verified too.
   So a star with at most REHUBBED failures yields the very components that comparing all its pairs would yield; only
   in a star with more can two duplicates that both failed escape, and then only if no other band joins them.
5. Components: union-find on the driver, over the hashes that have an edge and nothing else.

The survivor of a cluster is the first by: licence known, more stars, newer last commit, smaller content_sha256, each taken
at its best over all files that hold the content. Nothing here depends on file order, partitions or executors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.errors import SeedbedError, run_cli
from conf.loader import to_dict
from conf.schema.curate import NearSettings
from spark_jobs.job import Context, Summary, TableJob, main
from spark_jobs.kernels import minhash
from spark_jobs.kernels.components import components
from spark_jobs.kernels.jaccard import jaccard
from spark_jobs.kernels.shingles import distinct, shingle_hashes
from spark_jobs.tables import TABLES

STAR = ["band", "key", "chunk"]  # what names a star: the bucket, and the piece of it (-1: the hubs of the pieces)
REHUBBED = 32  # failed members of a star that get a second look; bounds its cost at 32 pairs a member
HUB = -1  # stands for `band` in the row that brings a hub's own text

Batches = Iterator[pa.RecordBatch]


def transform(ctx: Context) -> Iterator[tuple[str, DataFrame]]:
    """(near_edges, rows), then, from the table as written, (clusters, rows)."""
    near = ctx.cfg.near
    require_signatures(ctx)
    contents = ctx.inputs["contents"].select("content_sha256", "text")
    with ExitStack() as held:

        def hold(frame: DataFrame, step: str) -> DataFrame:
            """`frame`, computed once. Its size known, Spark broadcasts a small one and leaves the texts unshuffled."""
            ctx.spark.sparkContext.setJobDescription(f"{JOB.name}: {step}")
            held.callback(frame.persist().unpersist)
            frame.count()
            return frame

        links = hold(star_links(buckets(ctx.inputs["signatures"], near), near.bucket_cap), "bands and stars")
        pairs = hold(pairs_of(links), "pairs")
        first = hold(verify(pairs, contents, near), "verification")
        pairs = hold(second_look(links, first, near.threshold), "pairs of the second look")
        second = verify(pairs, contents, near)
        yield "near_edges", first.unionByName(second).filter(F.col("jaccard") >= near.threshold)
    members = clusters_of(ctx.inputs["near_edges"], ctx)
    yield "clusters", with_survivors(members, ctx)


def require_signatures(ctx: Context) -> None:
    """Raise SeedbedError unless every content has a signature of the parameters that the config asks for."""
    near = ctx.cfg.near
    asked = minhash.parameters(near.num_perm, near.shingle, near.seed)
    last = ctx.store.last_commit("signatures")
    if last is not None and last.lineage.get("params") != asked:
        raise SeedbedError(
            f"table signatures was written with {last.lineage.get('params')}, the config asks for {asked}: "
            "signatures of two parameter sets cannot be compared",
            "restore the old setting, or run sign_contents with rebuild=[signatures] first",
        )
    contents, signatures = ctx.inputs["contents"], ctx.inputs["signatures"]
    if contents.count() == signatures.count():  # both from the Delta log, unread; keys are unique
        return
    unsigned = contents.join(signatures, "content_sha256", "left_anti").count()
    if unsigned:
        raise SeedbedError(f"{unsigned:,} contents have no row in signatures", "run sign_contents first")


def buckets(signatures: DataFrame, near: NearSettings) -> DataFrame:
    """(sha binary, band, key): the buckets of every content that has tokens. Contents without any are like nothing."""
    signed = signatures.filter("shingles > 0").select(F.unhex("content_sha256").alias("sha"), "signature")

    def band_batches(batches: Batches) -> Batches:
        for batch in batches:
            keys = minhash.band_keys(minhash.from_binary(batch["signature"], near.num_perm), near.bands, near.rows)
            yield pa.RecordBatch.from_pydict(
                {
                    "sha": batch["sha"].take(pa.array(np.repeat(np.arange(len(keys)), near.bands))),
                    "band": pa.array(np.tile(np.arange(near.bands, dtype=np.int32), len(keys))),
                    "key": pa.array(keys.ravel()),
                }
            )

    return signed.mapInArrow(band_batches, "sha binary, band int, key long")


def star_links(members: DataFrame, cap: int) -> DataFrame:
    """(band, key, chunk, hub, sha): each member of a shared bucket under the smallest member of its star, hub < sha.

    One shuffle, of (hash, band, key): rows stream through the windows, so a bucket of a million members costs a task
    seconds and no memory to speak of.
    """
    bucket = Window.partitionBy("band", "key")
    star = Window.partitionBy(*STAR)
    shared = members.withColumn("size", F.count("*").over(bucket)).filter("size > 1").drop("size")
    rank = F.row_number().over(bucket.orderBy("sha")) - 1
    placed = shared.withColumn("chunk", F.floor(rank / cap).cast("int")).withColumn("hub", F.min("sha").over(star))
    hubs = placed.filter("sha = hub").withColumn("chunk", F.lit(-1)).withColumn("hub", F.min("sha").over(star))
    return placed.unionByName(hubs).filter("sha != hub").select(*STAR, "hub", "sha")


def pairs_of(links: DataFrame) -> DataFrame:
    """(a, b, band): each linked pair once, a < b, with the smallest band that found it."""
    return links.groupBy(F.col("hub").alias("a"), F.col("sha").alias("b")).agg(F.min("band").alias("band"))


def second_look(links: DataFrame, verified: DataFrame, threshold: float) -> DataFrame:
    """(a, b, band): the pairs of step 4 that are not in `verified`, each once, a < b."""
    failed = verified.filter(F.col("jaccard") < threshold).select(F.unhex("a").alias("hub"), F.unhex("b").alias("sha"))
    order = Window.partitionBy(*STAR).orderBy("sha")
    rehubbed = (
        links.join(failed, ["hub", "sha"])
        .withColumn("rank", F.row_number().over(order))
        .filter(F.col("rank") <= REHUBBED)
        .select(*STAR, F.col("sha").alias("again"))
    )
    pairs = rehubbed.join(links, STAR).filter("again != sha")
    ordered = pairs.select("band", F.least("again", "sha").alias("hub"), F.greatest("again", "sha").alias("sha"))
    seen = verified.select(F.unhex("a").alias("a"), F.unhex("b").alias("b"))
    return pairs_of(ordered).join(seen, ["a", "b"], "left_anti")


def verify(pairs: DataFrame, contents: DataFrame, near: NearSettings) -> DataFrame:
    """Rows of `near_edges` for (a, b, band) pairs, whatever their similarity.

    The estimate is taken from the shingles in hand: the same bits as the stored signatures give, without moving a
    kilobyte a row.
    """
    pairs = pairs.select(_hex("a").alias("hub"), _hex("b").alias("content_sha256"), "band")
    hubs = pairs.select("hub", F.col("hub").alias("content_sha256"), F.lit(HUB).alias("band")).distinct()
    texts = pairs.unionByName(hubs).join(contents, "content_sha256").select("hub", "content_sha256", "band", "text")
    return (
        texts.repartition("hub")
        .sortWithinPartitions("hub", "band")
        .mapInArrow(_comparer(near), TABLES["near_edges"].ddl)
    )


def _comparer(near: NearSettings) -> Callable[[Batches], Batches]:
    def compare_batches(batches: Batches) -> Batches:
        hub_row: list[pa.RecordBatch] = []  # the hub whose members may go on in the next batch
        for batch in batches:
            batch = pa.concat_batches([*hub_row, batch])
            is_hub = pc.equal(batch["band"], HUB).to_numpy(zero_copy_only=False)
            hub_of = np.maximum.accumulate(np.where(is_hub, np.arange(len(is_hub)), 0))
            members = np.flatnonzero(~is_hub)
            if not batch["hub"].equals(batch["content_sha256"].take(pa.array(hub_of))):
                raise RuntimeError(
                    "rows are not sorted by hub, hub first: the comparison would be with another document"
                )
            sets = distinct(shingle_hashes(batch["text"], near.shingle))
            signature = minhash.signatures(sets, near.num_perm, near.seed)
            rows = batch.take(pa.array(members))
            yield pa.RecordBatch.from_pydict(
                {
                    "a": rows["hub"],
                    "b": rows["content_sha256"],
                    "band": rows["band"],
                    "jaccard_estimate": pa.array(minhash.estimates(signature, hub_of[members], members)),
                    "jaccard": pa.array(jaccard(sets, hub_of[members], members)),
                }
            )
            hub_row = [batch.slice(int(hub_of[-1]), 1)]

    return compare_batches


def clusters_of(edges: DataFrame, ctx: Context) -> DataFrame:
    """(content_sha256, cluster_id, cluster_size) of the contents that have an edge.

    The driver holds two 32-byte hashes an edge: 10 million edges take it about five seconds and under 2 GB.
    """
    table = edges.select(F.unhex("a").alias("a"), F.unhex("b").alias("b")).toArrow()
    nodes = pc.unique(pa.chunked_array([*table["a"].chunks, *table["b"].chunks], pa.binary()))
    nodes = nodes.take(pc.sort_indices(nodes))  # so that the smallest node is the smallest hash
    left, right = (pc.index_in(table[end], value_set=nodes).to_numpy() for end in ("a", "b"))
    label = components(len(nodes), left, right)
    size = np.bincount(label, minlength=len(nodes))[label]
    columns = {"sha": nodes, "cluster": nodes.take(pa.array(label)), "cluster_size": pa.array(size, pa.int32())}
    frame = ctx.spark.createDataFrame(pa.table(columns))
    return frame.select(_hex("sha").alias("content_sha256"), _hex("cluster").alias("cluster_id"), "cluster_size")


def with_survivors(members: DataFrame, ctx: Context) -> DataFrame:
    """Rows of `clusters` for every content: `members` with their survivor, all others alone and surviving."""
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
    best_first = Window.partitionBy("cluster_id").orderBy(
        F.desc_nulls_last("licensed"), F.desc_nulls_last("stars"), F.desc_nulls_last("last_commit"), "content_sha256"
    )
    ranked = members.join(standing, "content_sha256", "left").withColumn(
        "survivor", F.row_number().over(best_first) == 1
    )
    return (
        ctx.inputs["contents"]
        .select("content_sha256", "shard")
        .join(ranked, "content_sha256", "left")
        .select(
            "content_sha256",
            F.coalesce("cluster_id", "content_sha256").alias("cluster_id"),
            F.coalesce("cluster_size", F.lit(1)).alias("cluster_size"),
            F.coalesce("survivor", F.lit(True)).alias("survivor"),
            "shard",
        )
    )


def summarize(ctx: Context) -> Summary:
    """Contents in, survivors out; the rest are near duplicates."""
    clusters = ctx.inputs["clusters"]
    row = clusters.agg(
        F.count("*").alias("contents"),
        F.count_if("survivor").alias("survivors"),
        F.count_if(F.col("survivor") & (F.col("cluster_size") > 1)).alias("clusters"),
        F.coalesce(F.max("cluster_size"), F.lit(0)).alias("largest"),
    ).first()
    return Summary(
        JOB.name,
        rows_in=row["contents"],
        rows_out=row["survivors"],
        dropped={"duplicate_near": row["contents"] - row["survivors"]},
        notes={"edges": ctx.inputs["near_edges"].count(), "clusters": row["clusters"], "largest": row["largest"]},
    )


def parameters(ctx: Context) -> dict[str, Any]:
    return to_dict(ctx.cfg.near)


def _hex(column: str) -> Column:
    return F.lower(F.hex(column))


JOB = TableJob(
    name="cluster_near_dups",
    writes=("near_edges", "clusters"),
    params=parameters,
    transform=transform,
    reads=("contents", "signatures", "files", "repos"),
    summarize=summarize,
)

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
