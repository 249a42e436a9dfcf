"""contents, signatures -> near_misses, near_edges: every compared pair, as evidence of near dedup.

    spark-submit spark_jobs/find_near_pairs.py --config conf/curate/local.yaml output=DIR

1. Bands. Each signature falls into near.bands buckets (seedbed/kernels/near_dup/minhash.py).
2. Hot buckets, those of more than near.bucket_cap members, are counted and reported before anything
   is shuffled by bucket. They are cut by the members' hashes into chunks of about that many, so
   that no task meets more.
3. Stars. In each bucket or chunk the smallest hash is the hub, and every other member is paired
   with it. That makes n - 1 pairs and not n (n - 1) / 2. The hubs of a bucket's chunks form a star
   of their own.
4. Verification computes the true Jaccard of every pair from the texts. Texts are shuffled to their
   hub and streamed past it. So a worker holds a hub and a batch but never a bucket, and no process
   holds the corpus.
5. Second look. A failed pair says nothing about the failed member and the rest of its bucket. The
   first REHUBBED failed members of each star become hubs and are paired with all of its other
   members. Those pairs are verified too. So a star with at most REHUBBED failures yields the same
   components as a comparison of all its pairs. In a star with more failures two duplicates that
   both failed can escape, and only if no other band joins them.

Pairs that an earlier run compared are taken from both tables, whatever the threshold was, because a
true Jaccard depends only on two texts and the shingles. So new contents cost only the pairs that
they bring, and the rows are those of a full run. Few new contents do not redraw all stars either:
see near_dup/incremental.py.

The rows do not depend on file order, partitions or executors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.errors import SeedbedError, run_cli
from conf.schema.curate import NearSettings
from seedbed.kernels.near_dup import minhash
from seedbed.kernels.near_dup.jaccard import jaccard
from seedbed.kernels.near_dup.shingles import distinct, shingle_hashes
from spark_jobs.near_dup import incremental
from spark_jobs.runtime.job import Context, Summary, TableJob, main
from spark_jobs.runtime.store import TABLES

# The columns that name a star: the bucket and its chunk (-1: the hubs of the chunks). The key comes
# first, because sorting by it is fast.
STAR = ["key", "band", "chunk"]
# Failed members per star that get a second look. It bounds the cost at 32 pairs per member.
REHUBBED = 32
# Stands in `band` of the row that carries a hub's own text.
HUB = -1

Batches = Iterator[pa.RecordBatch]


def transform(ctx: Context) -> Iterator[tuple[str, DataFrame]]:
    """Yields (near_misses, rows), then (near_edges, rows)."""
    near = ctx.cfg.near
    require_signatures(ctx)
    known = compared_before(ctx)
    ctx.size_shuffles()
    contents = ctx.inputs["contents"].select("content_sha256", "text")
    with ctx.materialize(JOB.name) as materialize:
        members = buckets(ctx.inputs["signatures"], near)
        last = incremental.last_run(ctx, JOB.name, JOB.writes, parameters(ctx), JOB.reads)
        if last is not None:
            fresh = materialize(
                incremental.buckets_of(buckets(last.new_signatures, near)),
                "buckets of new contents",
            )
            affected = (
                incremental.within(members, fresh)
                .select(_hex("sha").alias("content_sha256"))
                .distinct()
            )
            affected = materialize(affected, "affected contents")
            theirs = buckets(
                ctx.inputs["signatures"].join(affected, "content_sha256", "left_semi"), near
            )
            theirs = materialize(incremental.buckets_of(theirs), "buckets of affected contents")
            members = materialize(
                incremental.within(members, theirs), "members of affected buckets"
            )
        hot = materialize(hot_buckets(members, near.bucket_cap), "hot buckets")
        report_hot(hot, near.bucket_cap)
        links = materialize(star_links(members, hot, near.bucket_cap), "bands and stars")
        pairs = materialize(pairs_of(links), "pairs")
        due = materialize(
            pairs if known is None else pairs.join(known, ["a", "b"], "left_anti"),
            "pairs to verify",
        )
        first = materialize(with_known(verify(due, contents, near), pairs, known), "verification")
        pairs = materialize(second_look(links, first, near.threshold), "pairs of the second look")
        again = materialize(
            pairs if known is None else pairs.join(known, ["a", "b"], "left_anti"),
            "pairs to verify",
        )
        second = materialize(
            with_known(verify(again, contents, near), pairs, known),
            "verification of the second look",
        )
        ctx.notes["pairs_verified"] = due.count() + again.count()
        rows = first.unionByName(second)
        if last is not None:
            rows = materialize(incremental.merged(rows, last.rows, affected), "rows that stay")
        yield "near_misses", rows.filter(F.col("jaccard") < near.threshold)
        yield "near_edges", rows.filter(F.col("jaccard") >= near.threshold)


def compared_before(ctx: Context) -> DataFrame | None:
    """(a, b, jaccard_estimate, jaccard) of the pairs that earlier runs compared.

    Only pairs compared under the same parameters count. Returns None where there are none.
    """
    near = ctx.cfg.near
    asked = minhash.parameters(near.num_perm, near.shingle, near.seed)
    found = None
    for table in JOB.writes:
        last = ctx.store.last_commit(table)
        if last is None or {key: last.lineage.get("params", {}).get(key) for key in asked} != asked:
            continue
        rows = ctx.store.read(table, last.version)
        rows = rows.select(
            F.unhex("a").alias("a"), F.unhex("b").alias("b"), "jaccard_estimate", "jaccard"
        )
        found = rows if found is None else found.unionByName(rows)
    # A run killed between the two tables can leave a pair in both.
    return None if found is None else found.dropDuplicates(["a", "b"])


def with_known(verified: DataFrame, pairs: DataFrame, known: DataFrame | None) -> DataFrame:
    """`verified`, with those of `pairs` whose similarity is in `known`."""
    if known is None:
        return verified
    over = pairs.join(known, ["a", "b"]).withColumns({"a": _hex("a"), "b": _hex("b")})
    return verified.unionByName(over.select(*verified.columns))


def require_signatures(ctx: Context) -> None:
    """Raise SeedbedError unless every content has a signature with the configured parameters."""
    near = ctx.cfg.near
    asked = minhash.parameters(near.num_perm, near.shingle, near.seed)
    last = ctx.store.last_commit("signatures")
    if last is not None and last.lineage.get("params") != asked:
        raise SeedbedError(
            f"table signatures was written with {last.lineage.get('params')}, "
            f"the config asks for {asked}: signatures of two parameter sets cannot be compared",
            "restore the old setting, or run sign_contents with rebuild=[signatures] first",
        )
    contents, signatures = ctx.inputs["contents"], ctx.inputs["signatures"]
    # Both counts come from the Delta log, without reading data. Keys are unique.
    if contents.count() == signatures.count():
        return
    unsigned = contents.join(signatures, "content_sha256", "left_anti").count()
    if unsigned:
        raise SeedbedError(
            f"{unsigned:,} contents have no row in signatures", "run sign_contents first"
        )


def buckets(signatures: DataFrame, near: NearSettings) -> DataFrame:
    """(sha binary, band, key): the buckets of every content that has tokens.

    A content without tokens is in no bucket.
    """
    signed = signatures.filter("shingles > 0").select(
        F.unhex("content_sha256").alias("sha"), "signature"
    )

    def band_batches(batches: Batches) -> Batches:
        for batch in batches:
            keys = minhash.band_keys(
                minhash.from_binary(batch["signature"], near.num_perm), near.bands, near.rows
            )
            yield pa.RecordBatch.from_pydict(
                {
                    "sha": batch["sha"].take(pa.array(np.repeat(np.arange(len(keys)), near.bands))),
                    "band": pa.array(np.tile(np.arange(near.bands, dtype=np.int32), len(keys))),
                    "key": pa.array(keys.ravel()),
                }
            )

    return signed.mapInArrow(band_batches, "sha binary, band int, key long")


def hot_buckets(members: DataFrame, cap: int) -> DataFrame:
    """(band, key, size) of the buckets with more than `cap` members.

    Spark combines the counts of each partition before it shuffles them.
    """
    sizes = members.groupBy("band", "key").agg(F.count("*").alias("size"))
    return sizes.filter(F.col("size") > cap)


def report_hot(hot: DataFrame, cap: int) -> None:
    """Print one line where there are hot buckets, which boilerplate in many files makes."""
    total = hot.agg(
        F.count("*").alias("n"), F.sum("size").alias("rows"), F.max("size").alias("fullest")
    ).first()
    if total["n"]:
        print(
            f"{JOB.name:<18} {total['n']:,} buckets hold more than near.bucket_cap={cap:,} "
            f"members, {total['rows']:,} in all, the fullest {total['fullest']:,}: "
            f"cut into stars of about {cap:,}",
            flush=True,
        )


def star_links(members: DataFrame, hot: DataFrame, cap: int) -> DataFrame:
    """(band, key, chunk, hub, sha): each member of a star with its hub; hub < sha.

    There is one shuffle, of (hash, band, key, chunk). A hot bucket's members are spread by their
    hash and not by their number. So its chunks are known before the shuffle and fall into different
    tasks.
    """
    star = Window.partitionBy(*STAR)
    pieces = F.ceil(F.coalesce("size", F.lit(1)) / cap)
    placed = members.join(hot, ["band", "key"], "left").withColumn("pieces", pieces)
    placed = placed.withColumn("chunk", F.pmod(F.xxhash64("sha"), "pieces").cast("int"))
    placed = placed.withColumn("hub", F.min("sha").over(star))
    if hot.isEmpty():
        return placed.filter("sha != hub").select(*STAR, "hub", "sha")
    hubs = placed.filter("sha = hub and pieces > 1").withColumn("chunk", F.lit(-1))
    hubs = hubs.withColumn("hub", F.min("sha").over(star))
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
    order = Window.partitionBy(*STAR).orderBy("sha")
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


def verify(pairs: DataFrame, contents: DataFrame, near: NearSettings) -> DataFrame:
    """Rows of `near_edges` or `near_misses` for the pairs (a, b, band).

    The estimate is computed anew from the shingles. It has the same bits as one from the stored
    signatures, but no kilobyte per row has to be moved.
    """
    pairs = pairs.select(_hex("a").alias("hub"), _hex("b").alias("content_sha256"), "band")
    hubs = pairs.select(
        "hub", F.col("hub").alias("content_sha256"), F.lit(HUB).alias("band")
    ).distinct()
    texts = (
        pairs.unionByName(hubs)
        .join(contents, "content_sha256")
        .select("hub", "content_sha256", "band", "text")
    )
    return (
        texts.repartition("hub")
        .sortWithinPartitions("hub", "band")
        .mapInArrow(_comparer(near), TABLES["near_edges"].ddl)
    )


def _comparer(near: NearSettings) -> Callable[[Batches], Batches]:
    def compare_batches(batches: Batches) -> Batches:
        # The last hub, whose members may continue in the next batch.
        hub_row: list[pa.RecordBatch] = []
        for batch in batches:
            batch = pa.concat_batches([*hub_row, batch])
            is_hub = pc.equal(batch["band"], HUB).to_numpy(zero_copy_only=False)
            hub_of = np.maximum.accumulate(np.where(is_hub, np.arange(len(is_hub)), 0))
            members = np.flatnonzero(~is_hub)
            if not batch["hub"].equals(batch["content_sha256"].take(pa.array(hub_of))):
                raise RuntimeError(
                    "rows are not sorted by hub, hub first: another document would be compared"
                )
            sets = distinct(shingle_hashes(batch["text"], near.shingle))
            signature = minhash.signatures(sets, near.num_perm, near.seed)
            rows = batch.take(pa.array(members))
            yield pa.RecordBatch.from_pydict(
                {
                    "a": rows["hub"],
                    "b": rows["content_sha256"],
                    "band": rows["band"],
                    "jaccard_estimate": pa.array(
                        minhash.estimates(signature, hub_of[members], members)
                    ),
                    "jaccard": pa.array(jaccard(sets, hub_of[members], members)),
                }
            )
            hub_row = [batch.slice(int(hub_of[-1]), 1)]

    return compare_batches


def summarize(ctx: Context) -> Summary:
    """Contents in, verified edges out.

    The notes hold the number of proposed pairs, and how many of them had to be verified.
    """
    edges, misses = ctx.inputs["near_edges"].count(), ctx.inputs["near_misses"].count()
    notes = {"pairs": edges + misses, **ctx.notes}
    return Summary(JOB.name, rows_in=ctx.inputs["contents"].count(), rows_out=edges, notes=notes)


def parameters(ctx: Context) -> dict[str, Any]:
    near = ctx.cfg.near
    signed = minhash.parameters(near.num_perm, near.shingle, near.seed)
    return {
        **signed,
        "bands": near.bands,
        "rows": near.rows,
        "threshold": near.threshold,
        "bucket_cap": near.bucket_cap,
    }


def _hex(column: str) -> Column:
    return F.lower(F.hex(column))


JOB = TableJob(
    name="find_near_pairs",
    writes=("near_misses", "near_edges"),
    params=parameters,
    transform=transform,
    reads=("contents", "signatures"),
    summarize=summarize,
)

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
