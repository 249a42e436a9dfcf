"""find_near_pairs: signatures, contents -> near_misses, near_edges: every pair compared, the
evidence of near dedup.

    spark-submit spark_jobs/find_near_pairs.py --config conf/curate/local.yaml output=DIR [near.threshold=0.8 ...]

1. Bands: each signature lands in near.bands buckets (datasketch-compatible MinHash;
   seedbed/kernels/near_dup/minhash.py).
2. Hot buckets: those of more than near.bucket_cap members are counted and reported before anything
   is shuffled by bucket,
   and cut by the members' hashes into pieces of about that many, so that no task meets more.
3. Stars: in each bucket, or piece, every member is paired with the smallest hash, n - 1 pairs and
   not n (n - 1) / 2; the
   hubs of a bucket's pieces are starred in turn.
4. Verification: the true Jaccard of every pair, from the texts. Texts are shuffled to their hub and
   streamed past it, so a
   worker holds a hub and a batch, never a bucket, and no process holds the corpus.
5. Second look: a pair that fails says nothing about the failed member and the rest of its bucket.
   The first REHUBBED
   failed members of each star become hubs and are paired with all of its other members, and those
   pairs are verified too. So a star with at most REHUBBED failures yields the very components that
   comparing all its pairs would yield; only in a star with more can two duplicates that both failed
   escape, and then only if no other band joins them.

Pairs that an earlier run compared are taken over from both tables, whatever the threshold was: a
true Jaccard depends on two texts and the shingles alone. So new contents cost the pairs that they
bring, and the rows are those of a full run.

Nor are all stars drawn anew. Where the tables are of a whole run of these very parameters and few
contents are new, a bucket without a new one has the star that it had. Call those moved that share a
bucket with a new content, and the new ones. A pair
of which one is not moved lies only in buckets without a new one: its row stays as it was. A pair of
moved ones is proposed again from all of its buckets, whose stars are drawn with all of their
members (moved.py).

Nothing here depends on file order, partitions or executors.
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
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import Summary, TableJob, main
from spark_jobs.runtime.store import TABLES

# What names a star: the bucket, and the piece of it (-1: the hubs of the pieces). The key comes
# first, as sorts go by it fast.
STAR = ["key", "band", "chunk"]
# failed members of a star that get a second look; bounds its cost at 32 pairs a member
REHUBBED = 32
# stands for `band` in the row that brings a hub's own text
HUB = -1

Batches = Iterator[pa.RecordBatch]


def transform(ctx: Context) -> Iterator[tuple[str, DataFrame]]:
    """(near_misses, rows), (near_edges, rows)."""
    near = ctx.cfg.near
    require_signatures(ctx)
    known = judged_before(ctx)
    ctx.size_shuffles()
    contents = ctx.inputs["contents"].select("content_sha256", "text")
    with ctx.materialize(JOB.name) as hold:
        members = buckets(ctx.inputs["signatures"], near)
        last = incremental.last_run(ctx, JOB.name, JOB.writes, parameters(ctx), JOB.reads)
        if last is not None:
            fresh = hold(
                incremental.places(buckets(last.new_signatures, near)), "buckets of new contents"
            )
            met = (
                incremental.within(members, fresh)
                .select(_hex("sha").alias("content_sha256"))
                .distinct()
            )
            met = hold(met, "moved contents")
            theirs = buckets(
                ctx.inputs["signatures"].join(met, "content_sha256", "left_semi"), near
            )
            theirs = hold(incremental.places(theirs), "buckets of moved contents")
            members = hold(incremental.within(members, theirs), "members of those")
        hot = hold(hot_buckets(members, near.bucket_cap), "hot buckets")
        report_hot(hot, near.bucket_cap)
        links = hold(star_links(members, hot, near.bucket_cap), "bands and stars")
        pairs = hold(pairs_of(links), "pairs")
        due = hold(
            pairs if known is None else pairs.join(known, ["a", "b"], "left_anti"),
            "pairs to verify",
        )
        first = hold(with_known(verify(due, contents, near), pairs, known), "verification")
        pairs = hold(second_look(links, first, near.threshold), "pairs of the second look")
        again = hold(
            pairs if known is None else pairs.join(known, ["a", "b"], "left_anti"),
            "pairs to verify",
        )
        second = hold(
            with_known(verify(again, contents, near), pairs, known),
            "verification of the second look",
        )
        ctx.notes["pairs_verified"] = due.count() + again.count()
        rows = first.unionByName(second)
        if last is not None:
            rows = hold(incremental.merged(rows, last.rows, met), "what stays")
        yield "near_misses", rows.filter(F.col("jaccard") < near.threshold)
        yield "near_edges", rows.filter(F.col("jaccard") >= near.threshold)


def judged_before(ctx: Context) -> DataFrame | None:
    """(a, b, jaccard_estimate, jaccard) of the pairs that earlier runs compared under these
    parameters; None without any.
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
    # a run killed between the tables leaves both
    return None if found is None else found.dropDuplicates(["a", "b"])


def with_known(verified: DataFrame, pairs: DataFrame, known: DataFrame | None) -> DataFrame:
    """`verified`, and those of `pairs` whose similarity is known."""
    if known is None:
        return verified
    over = pairs.join(known, ["a", "b"]).withColumns({"a": _hex("a"), "b": _hex("b")})
    return verified.unionByName(over.select(*verified.columns))


def require_signatures(ctx: Context) -> None:
    """Raise SeedbedError unless every content has a signature of the parameters that the config
    asks for.
    """
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
    # both from the Delta log, unread; keys are unique
    if contents.count() == signatures.count():
        return
    unsigned = contents.join(signatures, "content_sha256", "left_anti").count()
    if unsigned:
        raise SeedbedError(
            f"{unsigned:,} contents have no row in signatures", "run sign_contents first"
        )


def buckets(signatures: DataFrame, near: NearSettings) -> DataFrame:
    """(sha binary, band, key): the buckets of every content that has tokens. Contents without any
    are like nothing.
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
    """(band, key, size) of the buckets of more than `cap` members.

    Counts are combined before they are shuffled.
    """
    sizes = members.groupBy("band", "key").agg(F.count("*").alias("size"))
    return sizes.filter(F.col("size") > cap)


def report_hot(hot: DataFrame, cap: int) -> None:
    """A line where there are any: boilerplate that many files share shows here first."""
    total = hot.agg(
        F.count("*").alias("n"), F.sum("size").alias("rows"), F.max("size").alias("fullest")
    ).first()
    if total["n"]:
        print(
            f"{JOB.name:<18} {total['n']:,} buckets hold more than near.bucket_cap={cap:,} members, {total['rows']:,} in all, "
            f"the fullest {total['fullest']:,}: cut into stars of about {cap:,}",
            flush=True,
        )


def star_links(members: DataFrame, hot: DataFrame, cap: int) -> DataFrame:
    """(band, key, chunk, hub, sha): each member of a shared bucket under the smallest member of its
    star, hub < sha.

    One shuffle, of (hash, band, key, chunk). A hot bucket's members are spread by their hash, not
    by their number, so that its pieces are told apart before the shuffle and lie in as many tasks.
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
    """(a, b, band): the pairs of step 4 that are not in `verified`, each once, a < b."""
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
    """Rows of `near_edges` or `near_misses` for (a, b, band) pairs.

    The estimate is taken from the shingles in hand: the same bits as the stored signatures give,
    without moving a kilobyte a row.
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
        # the hub whose members may go on in the next batch
        hub_row: list[pa.RecordBatch] = []
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

    The notes: pairs that were proposed, and those of them that were not known before.
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
