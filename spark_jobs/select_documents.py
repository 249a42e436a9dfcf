"""verdict tables, policy -> decisions, documents: applies the policy of `select` to every content.

    spark-submit spark_jobs/select_documents.py --config conf/curate/local.yaml output=DIR

decisions has one row per content: the first reason why it was dropped, with the figures that
decided, or null. documents is the training corpus. The reasons, their order and their conditions
stand in seedbed/tables/reasons.py.

The quality cut drops the `drop_lowest` share with the lowest (quality, content_sha256) among what
the reasons before it leave: over all languages at once as in the paper (Sec 2.2.1), or in each
language (`cut_per`). Retuning reads verdicts only: nothing is parsed, scored or compared again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.errors import SeedbedError, run_cli
from conf.loader import to_dict
from conf.schema.curate import SelectSettings
from seedbed import benchmarks
from seedbed.tables import reasons
from spark_jobs.documents import validation_split
from spark_jobs.quality.scorers import resolve_version
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import Summary, TableJob, main

# Buckets of the histogram that finds the quality cut.
QUALITY_BUCKETS = 65_536


def params(ctx: Context) -> dict[str, Any]:
    """What the rows depend on besides the verdicts."""
    return {
        **to_dict(ctx.cfg.select),
        "scorer": resolve_version(ctx.cfg, ctx.store),
        "benchmarks": sorted(
            benchmarks.identity(source) for source in ctx.cfg.decontaminate.benchmarks
        ),
    }


def transform(ctx: Context) -> Iterator[tuple[str, DataFrame]]:
    """Yields decisions, then documents, which are made from the decisions as written."""
    with ctx.materialize(JOB.name) as materialize:
        verdicts = materialize(verdict_rows(ctx), "verdicts")
        refuse_missing(verdicts, ctx)
        yield "decisions", decisions(verdicts, ctx.cfg.select)
        # The split is drawn from the copies first, and then they are read again.
        copies = materialize(kept_copies(ctx), "copies")
        yield "documents", documents(copies, ctx.cfg.select)


def verdict_rows(ctx: Context) -> DataFrame:
    """One row per content, with the columns that conditions read (seedbed/tables/reasons.py).

    A column is null where its table says nothing of the content.
    """
    wanted = [benchmarks.identity(source) for source in ctx.cfg.decontaminate.benchmarks]
    key = ["content_sha256", "shard"]
    rows = ctx.inputs["contents"].select(*key, "language", "bytes")
    if ctx.cfg.select.dedup == "repository":
        rows = rows.join(in_surviving_repos(ctx), "content_sha256", "left").withColumn(
            "cluster_id", F.lit("of its repositories")
        )
    else:
        clusters = ctx.inputs["clusters"].select(*key, "cluster_id", "survivor")
        keepers = clusters.filter("survivor").select(
            "cluster_id", F.col("content_sha256").alias("keeper")
        )
        rows = rows.join(clusters, key, "left").join(keepers, "cluster_id", "left")
    rows = rows.join(ctx.inputs["syntax"].select(*key, "status", "error_share"), key, "left")
    scores = ctx.inputs["scores"].filter(F.col("scorer") == resolve_version(ctx.cfg, ctx.store))
    rows = rows.join(scores.select(*key, "quality"), key, "left")
    looked_at = ctx.inputs["contamination"].filter(F.col("benchmark").isin(wanted))
    hit = F.when(F.col("item").isNotNull(), F.struct("benchmark", "item", "ngram"))
    overlap = looked_at.groupBy(*key).agg(
        F.count("*").alias("benchmarks"), F.min(hit).alias("overlap")
    )
    rows = rows.join(overlap, key, "left").fillna(0, ["benchmarks"])
    denied = F.lower("license").isin([name.lower() for name in ctx.cfg.select.licenses_denied])
    copies = ctx.inputs["files"].filter(F.col("drop_reason").isNull() & denied)
    first = F.min(F.struct("doc_id", "license", "repo", "path")).alias("denied_copy")
    return rows.join(copies.groupBy("content_sha256").agg(first), "content_sha256", "left")


def in_surviving_repos(ctx: Context) -> DataFrame:
    """(content_sha256, survivor, keeper) of every content, by the repositories that hold it.

    survivor: whether one of them survives. keeper: the first survivor of their clusters.
    """
    repo = ["repo", "revision"]
    clusters = ctx.inputs["repo_clusters"]
    names = clusters.filter("survivor").select("cluster_id", F.concat_ws(" ", *repo).alias("name"))
    held = (
        ctx.inputs["files"]
        .filter(F.col("drop_reason").isNull())
        .select("content_sha256", *repo)
        .distinct()
    )
    placed = held.join(clusters.select(*repo, "cluster_id", "survivor"), repo).join(
        names, "cluster_id"
    )
    return placed.groupBy("content_sha256").agg(
        F.max("survivor").alias("survivor"), F.min("name").alias("keeper")
    )


def refuse_missing(verdicts: DataFrame, ctx: Context) -> None:
    """Raise SeedbedError where some content lacks a verdict that the policy needs."""
    unscored = F.col("quality").isNull()
    if ctx.cfg.score.scope != "all":
        unscored &= F.col("survivor")
    checks = {
        "clusters": (F.col("survivor").isNull(), "cluster_near_dups"),
        "syntax": (F.col("status").isNull(), "check_syntax"),
        "scores": (unscored, "score_quality"),
        "contamination": (
            F.col("benchmarks") < len(ctx.cfg.decontaminate.benchmarks),
            "decontaminate",
        ),
    }
    totals = [F.count_if(condition).alias(table) for table, (condition, _) in checks.items()]
    found = verdicts.agg(F.count("*").alias("contents"), *totals).first().asDict()
    for table, (_, job) in checks.items():
        if found[table]:
            needed = (
                f" by scorer {resolve_version(ctx.cfg, ctx.store)}" if table == "scores" else ""
            )
            scope = ""
            if ctx.cfg.score.scope == "labelled":
                scope = ", with score.scope=all or survivors"
            raise SeedbedError(
                f"{found[table]:,} of {found['contents']:,} contents have no row in table "
                f"{table}{needed}",
                f"run spark_jobs/{job}.py with the same config first (python -m spark_jobs run "
                f"does all in order){scope}",
            )


def decisions(verdicts: DataFrame, policy: SelectSettings) -> DataFrame:
    """Rows of decisions from `verdict_rows`."""
    rows = verdicts.withColumn("policy", _policy_column(policy))
    left = rows.filter(f"NOT {reasons.any_holds(reasons.before_cut())}")
    rows = rows.withColumn("cut", _cut_column(quality_cuts(left, policy), policy))
    return rows.selectExpr(
        "content_sha256",
        f"{reasons.first_reason(reasons.CONTENT_REASONS)} AS reason",
        f"{reasons.first_detail(reasons.CONTENT_REASONS)} AS detail",
        "shard",
    )


def quality_cuts(rows: DataFrame, policy: SelectSettings) -> dict[str, tuple[float, str]]:
    """The largest (quality, content_sha256) that is dropped, by language ("" for none).

    Where cut_per is "all" the one entry stands under "". Where nothing is dropped there is none.

    floor(drop_lowest * rows) rows are at or below it. Exact, and no row order enters: the hash
    breaks ties. A histogram finds the bucket that holds a cut, so that only that bucket is sorted.
    """
    rows = rows.select("quality", "content_sha256", _cut_group(policy).alias("language"))
    bucket = F.floor(F.col("quality") * QUALITY_BUCKETS).alias("bucket")
    histograms: dict[str, list[tuple[int, int]]] = {}
    for row in rows.groupBy("language", bucket).count().orderBy("language", "bucket").collect():
        histograms.setdefault(row["language"], []).append((row["bucket"], row["count"]))
    # (language, the bucket of its cut, the rank of the cut in that bucket from 1)
    spots = []
    for name, histogram in histograms.items():
        rank = int(policy.drop_lowest * sum(count for _, count in histogram) + 1e-9)
        for value, count in histogram:
            if 0 < rank <= count:
                spots.append((name, value, rank))
            rank -= count
    if not spots:
        return {}
    wanted = rows.sparkSession.createDataFrame(spots, "language string, bucket long, rank int")
    inside = rows.withColumn("bucket", bucket).join(F.broadcast(wanted), ["language", "bucket"])
    order = Window.partitionBy("language").orderBy("quality", "content_sha256")
    found = inside.withColumn("place", F.row_number().over(order)).filter("place = rank").collect()
    return {row["language"]: (row["quality"], row["content_sha256"]) for row in found}


def kept_copies(ctx: Context) -> DataFrame:
    """One row per occurrence of a content that decisions keep.

    It says where the copy stands, and the language, bytes and quality of the content.
    """
    key = ["content_sha256", "shard"]
    kept = ctx.inputs["decisions"].filter(F.col("reason").isNull()).select(*key)
    kept = kept.join(ctx.inputs["contents"].select(*key, "language", "bytes"), key)
    scores = ctx.inputs["scores"].filter(F.col("scorer") == resolve_version(ctx.cfg, ctx.store))
    kept = kept.join(scores.select(*key, "quality"), key, "left")
    copies = ctx.inputs["files"].filter(F.col("drop_reason").isNull())
    return copies.select("content_sha256", "doc_id", "repo", "path", "license").join(
        kept, "content_sha256"
    )


def documents(copies: DataFrame, policy: SelectSettings) -> DataFrame:
    """Rows of documents: one per content that was kept.

    It stands where the copy with the smallest doc_id of its split stands.
    """
    copies = validation_split.assign(copies, policy.val_fraction, policy.seed, policy.val_repos)
    placed = copies.groupBy("content_sha256", "language", "bytes", "quality").agg(
        # "train" < "val": a content with any copy in a training repository is train, and stands
        # there.
        F.min(F.struct("split", "doc_id", "repo", "path", "license")).alias("at")
    )
    return placed.select(
        F.sha2(F.concat(F.lit("file\0"), "content_sha256"), 256).alias("document_id"),
        F.lit("file").alias("category"),
        F.array(F.struct(F.col("at.path").alias("path"), "content_sha256")).alias("parts"),
        "language",
        "at.license",
        "at.repo",
        "at.split",
        F.when(F.col("at.split") == "val", 1).otherwise(policy.epochs).alias("epochs"),
        "bytes",
        "quality",
    )


def summarize(ctx: Context) -> Summary:
    """Count the tables as written.

    Raises AssertionError where rows out and rows dropped do not add up to rows in.
    """
    contents = ctx.inputs["contents"].agg(F.count("*"), F.sum("bytes")).first()
    counts = {
        row["reason"]: row["count"]
        for row in ctx.inputs["decisions"].groupBy("reason").count().collect()
    }
    splits = (
        ctx.inputs["documents"]
        .groupBy("split")
        .agg(F.count("*").alias("n"), F.sum("bytes").alias("size"))
        .collect()
    )
    kept = sum(row["n"] for row in splits)
    dropped = {reason: n for reason, n in counts.items() if reason is not None}
    if contents[0] != kept + sum(dropped.values()) or counts.get(None, 0) != kept:
        raise AssertionError(
            f"{contents[0]} contents in, but {kept} documents and {dropped} dropped out"
        )
    notes = {row["split"]: {"documents": row["n"], "bytes": row["size"]} for row in splits}
    return Summary("select_documents", contents[0], kept, dropped, contents[1] or 0, notes=notes)


def _policy_column(policy: SelectSettings) -> Column:
    """The struct `policy` that conditions read (seedbed/tables/reasons.py)."""
    values = reasons.policy_values(to_dict(policy))
    return F.struct(*[_literal(value).alias(name) for name, value in values.items()])


def _literal(value: Any) -> Column:
    if isinstance(value, list):
        return F.array(*map(F.lit, value)).cast("array<string>")
    if isinstance(value, dict):
        pairs = [F.lit(one) for pair in value.items() for one in pair]
        return F.create_map(*pairs).cast("map<string, double>")
    return F.lit(value)


def _cut_group(policy: SelectSettings) -> Column:
    """The group in which the quality cut ranks a row."""
    return F.coalesce("language", F.lit("")) if policy.cut_per == "language" else F.lit("")


def _cut_column(cuts: dict[str, tuple[float, str]], policy: SelectSettings) -> Column:
    """The struct `cut` of each row's group (seedbed/tables/reasons.py), or null."""
    if not cuts:
        return F.lit(None).cast("struct<quality: double, content_sha256: string, text: string>")
    parts = []
    for name, (quality, last) in sorted(cuts.items()):
        figures = {"quality": quality, "content_sha256": last, "text": f"{quality:.4f}"}
        struct = F.struct(*[F.lit(value).alias(field) for field, value in figures.items()])
        parts += [F.lit(name), struct]
    return F.create_map(*parts)[_cut_group(policy)]


JOB = TableJob(
    "select_documents",
    ("decisions", "documents"),
    params,
    transform,
    ("files", "contents", "clusters", "repo_clusters", "syntax", "scores", "contamination"),
    summarize,
    parts=lambda ctx: {"scores": {"scorer": resolve_version(ctx.cfg, ctx.store)}},
)

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
