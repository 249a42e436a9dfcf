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
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import SeedbedError, run_cli
from conf.schema.curate import NearSettings
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
from spark_jobs.runtime.store import TABLES


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
    rest, _ = both_looks(Looks(members, hot, contents, None), near, materialize)
    return materialize(rows.unionByName(rest), "comparison of all")


def of_new_pairs(known: DataFrame, ctx: Context, materialize: Materialize) -> DataFrame:
    """The rows of a run in which most pairs are known: pair by pair, and for changes alone."""
    near, contents = ctx.cfg.near, ctx.inputs["contents"]
    last = incremental.last_run(ctx, JOB.name, JOB.writes, parameters(ctx), JOB.reads)
    changed = None if last is None else incremental.changed_signatures(ctx, last)
    if last is None or changed is None:
        members = buckets(ctx.inputs["signatures"], near)
    else:
        members, affected = incremental.to_draw(changed, ctx, materialize)
        members = materialize(members, "members of affected buckets")
        named = affected.select(hexadecimal("sha").alias("content_sha256"))
        # Their stars name no others. All pairs that are not known are of affected contents.
        ends = members.select(hexadecimal("sha").alias("a")).distinct()
        known = in_binary(last.rows.join(ends, "a", "left_semi"))
        known = materialize(known, "known pairs")
        texts = contents.select("content_sha256", "text", "bytes")
        contents = materialize(texts.join(named, "content_sha256", "left_semi"), "affected texts")
    hot = materialize(hot_buckets(members, near.bucket_cap), "hot buckets")
    report_hot(count_hot(hot), near.bucket_cap, JOB.name)
    looks = Looks(members, hot, contents, known)
    rows, ctx.notes["pairs_verified"] = both_looks(looks, near, materialize)
    if last is None or changed is None:
        return rows
    return materialize(incremental.merged(rows, last.rows, named), "rows that stay")


@dataclass(frozen=True)
class Looks:
    """What the stars of `members` are drawn from, and the texts that their pairs may name.

    known: the pairs that are not compared, since their rows are taken over; None for no pair.
    """

    members: DataFrame
    hot: DataFrame
    contents: DataFrame
    known: DataFrame | None


def both_looks(of: Looks, near: NearSettings, materialize: Materialize) -> tuple[DataFrame, int]:
    """(rows, number of compared pairs) of both looks at the stars, pair by pair."""
    compared = 0
    links = materialize(star_links(of.members, of.hot, near.bucket_cap), "bands and stars")

    def look(pairs: DataFrame, step: str) -> DataFrame:
        nonlocal compared
        found = pairs if of.known is None else pairs.join(of.known, ["a", "b"], "left")
        found = materialize(found, f"pairs of the {step} look")
        due = found if of.known is None else found.filter("jaccard is null")
        compared += due.count()
        rows = verify(due.select("a", "b", "band"), of.contents, near, materialize)
        if of.known is not None:
            rows = rows.unionByName(evidence_of(found.filter("jaccard is not null")))
        return materialize(rows, f"{step} look")

    first = look(pairs_of(links), "first")
    again = second_look(links, first, near.threshold)
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
        found = in_binary(rows) if found is None else found.unionByName(in_binary(rows))
    # A run killed between the two tables can leave a pair in both.
    return None if found is None else found.dropDuplicates(["a", "b"])


def in_binary(rows: DataFrame) -> DataFrame:
    """(a, b, jaccard_estimate, jaccard) of rows of the tables, with binary hashes."""
    ends = (F.unhex(end).alias(end) for end in ("a", "b"))
    return rows.select(*ends, "jaccard_estimate", "jaccard")


def evidence_of(pairs: DataFrame) -> DataFrame:
    """Rows of the tables for `pairs` of binary hashes with their similarities."""
    named = pairs.withColumns({"a": hexadecimal("a"), "b": hexadecimal("b")})
    return named.select(*TABLES["near_edges"].columns)


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
    # All contents are signed, and no others, where the last commit says so.
    complete = last is not None and "complete" in last.lineage
    if complete and last.lineage["inputs"] == {"contents": ctx.inputs.version("contents")}:
        return
    contents, signatures = ctx.inputs["contents"], ctx.inputs["signatures"]
    for rows, others, words in (
        (contents, signatures, "contents have no row in signatures"),
        (signatures, contents, "signatures are of contents that are gone"),
    ):
        count = rows.join(others, "content_sha256", "left_anti").count()
        if count:
            raise SeedbedError(f"{count:,} {words}", "run sign_contents first")


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
