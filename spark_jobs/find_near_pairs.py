"""contents, signatures -> near_misses, near_edges: every compared pair, as evidence of near dedup.

    spark-submit spark_jobs/find_near_pairs.py --config conf/curate/local.yaml output=DIR

1. Bands. Each signature falls into near.bands buckets (seedbed/kernels/near_dup/minhash.py).
2. Hot buckets, those of more than near.bucket_cap members, are counted and reported before anything
   is shuffled by bucket. They are cut by the members' hashes into chunks of about that many, so
   that no task meets more.
3. Stars. In each bucket or chunk the smallest hash is the hub, and every other member is paired
   with it. That makes n - 1 pairs and not n (n - 1) / 2. The hubs of a bucket's chunks form a star
   of their own.
4. Candidate components are what the stars link, before any text is read. Those of bounded size are
   packed into bins of text, so that each text is read once: where a component is, the true Jaccard
   of every pair of its stars is computed, and step 5 too (near_dup/one_pass.py). The pairs of
   larger ones are packed into bins pair by pair (near_dup/verification.py). So a worker holds a
   bin but never a bucket, and no process holds the corpus.
5. Second look. A failed pair says nothing about the failed member and the rest of its bucket. The
   first REHUBBED failed members of each star become hubs and are paired with all of its other
   members. Those pairs are verified too. So a star with at most REHUBBED failures yields the same
   components as a comparison of all its pairs. In a star with more failures two duplicates that
   both failed can escape, and only if no other band joins them.

Pairs that an earlier run compared are taken from both tables, whatever the threshold was, because a
true Jaccard depends only on two texts and the shingles. So new contents cost only the pairs that
they bring, pair by pair, and the rows are those of a full run. Few new contents do not redraw all
stars either: see near_dup/incremental.py.

The rows do not depend on file order, partitions or executors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import SeedbedError, run_cli
from seedbed.kernels.near_dup import minhash
from spark_jobs.near_dup import incremental, one_pass
from spark_jobs.near_dup.candidates import candidates
from spark_jobs.near_dup.stars import (
    buckets,
    count_hot,
    hot_buckets,
    pairs_of,
    report_hot,
    second_look,
    star_links,
)
from spark_jobs.near_dup.verification import Materialize, hexadecimal, verify
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import Summary, TableJob, main


def transform(ctx: Context) -> Iterator[tuple[str, DataFrame]]:
    """Yields (near_misses, rows), then (near_edges, rows)."""
    near = ctx.cfg.near
    require_signatures(ctx)
    known = compared_before(ctx)
    ctx.size_shuffles()
    with ctx.materialize(JOB.name) as materialize:
        if known is None:
            rows = of_components(ctx, materialize)
            ctx.notes["pairs_verified"] = rows.count()
        else:
            rows = of_new_pairs(known, ctx, materialize)
        yield "near_misses", rows.filter(F.col("jaccard") < near.threshold)
        yield "near_edges", rows.filter(F.col("jaccard") >= near.threshold)


def of_components(ctx: Context, materialize: Materialize) -> DataFrame:
    """The rows of a run in which no pair is known: by candidate component where it can be held."""
    near, contents = ctx.cfg.near, ctx.inputs["contents"]
    components = candidates(ctx, JOB.name, materialize)
    binned, large = one_pass.in_bins(components, contents, near, materialize)
    rows = materialize(one_pass.compare_components(binned, contents, near), "comparison")
    large = materialize(large.select(F.unhex("content_sha256").alias("sha")), "large components")
    if large.isEmpty():
        return rows
    # All members of their buckets are among them.
    members = buckets(ctx.inputs["signatures"], near).join(large, "sha", "left_semi")
    hot = materialize(hot_buckets(members, near.bucket_cap), "hot buckets")
    rest, _ = both_looks(members, hot, None, ctx, materialize)
    return materialize(rows.unionByName(rest), "comparison of all")


def of_new_pairs(known: DataFrame, ctx: Context, materialize: Materialize) -> DataFrame:
    """The rows of a run in which most pairs are known: pair by pair, and for new contents alone."""
    near, signatures = ctx.cfg.near, ctx.inputs["signatures"]
    members = buckets(signatures, near)
    last = incremental.last_run(ctx, JOB.name, JOB.writes, parameters(ctx), JOB.reads)
    if last is not None:
        members = materialize(members, "buckets")
        fresh = materialize(
            incremental.buckets_of(buckets(last.new_signatures, near)), "buckets of new contents"
        )
        affected = incremental.within(members, fresh).select("sha").distinct()
        affected = materialize(affected, "affected contents")
        theirs = members.join(affected, "sha", "left_semi")
        theirs = materialize(incremental.buckets_of(theirs), "buckets of affected contents")
        members = materialize(incremental.within(members, theirs), "members of affected buckets")
    hot = materialize(hot_buckets(members, near.bucket_cap), "hot buckets")
    report_hot(count_hot(hot), near.bucket_cap, JOB.name)
    rows, ctx.notes["pairs_verified"] = both_looks(members, hot, known, ctx, materialize)
    if last is None:
        return rows
    named = affected.select(hexadecimal("sha").alias("content_sha256"))
    return materialize(incremental.merged(rows, last.rows, named), "rows that stay")


def both_looks(
    members: DataFrame,
    hot: DataFrame,
    known: DataFrame | None,
    ctx: Context,
    materialize: Materialize,
) -> tuple[DataFrame, int]:
    """(rows, number of compared pairs) of both looks at the stars of `members`, pair by pair.

    Pairs in `known` are not compared, and their rows are taken over.
    """
    near, contents = ctx.cfg.near, ctx.inputs["contents"]
    compared = 0
    links = materialize(star_links(members, hot, near.bucket_cap), "bands and stars")

    def look(pairs: DataFrame, step: str) -> DataFrame:
        nonlocal compared
        due = pairs if known is None else pairs.join(known, ["a", "b"], "left_anti")
        due = materialize(due, f"pairs of the {step} look")
        compared += due.count()
        rows = with_known(verify(due, contents, near, materialize), pairs, known)
        return materialize(rows, f"{step} look")

    first = look(materialize(pairs_of(links), "pairs"), "first")
    again = materialize(second_look(links, first, near.threshold), "failed pairs")
    rows = first.unionByName(look(again, "second"))
    # Sail cannot filter a union.
    return materialize(rows, "both looks"), compared


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
    over = pairs.join(known, ["a", "b"]).withColumns({"a": hexadecimal("a"), "b": hexadecimal("b")})
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
