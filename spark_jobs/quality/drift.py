"""Checks the drift of a scorer on the gold set before it scores a corpus.

A new version, or a known one on another engine, scores the gold set first. The gold set are
`score.gold` contents with a rating by `labels.oracle`, those with the smallest hashes. Table
`gold_scores` holds the new scores beside those of the previous version: the newest of the same name
that has scored contents. A version whose scores differ by more than the limits is refused, in every
run. Its rows stay, so that one can look at them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import SeedbedError
from seedbed.tables.log import commits
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.joins import having
from spark_jobs.runtime.store import Store

TABLE = "gold_scores"
# The engine of a scorer that needs none.
BUILT_IN = "built in"


@dataclass(frozen=True)
class Version:
    """A scorer's version and the engine that runs it.

    name: the scorer's version without its hash. Only versions of one name are compared.
    """

    scorer: str
    engine: str
    name: str

    @property
    def part(self) -> dict[str, str]:
        return {"scorer": self.scorer, "engine": self.engine}

    def __str__(self) -> str:
        return f"{self.scorer} on {self.engine}"


def guard(
    ctx: Context, version: Version, score: Callable[[DataFrame, Context], DataFrame]
) -> dict[str, Any]:
    """Score the gold set with `version`, unless that was done before, and compare the scores.

    score: a function from due rows of `contents` with a column `scorer` to rows of `scores`.
    Returns the figures of the comparison, {} without a gold set. Raises SeedbedError where the
    scores differ by more than the limits.
    """
    mine = (F.col("scorer") == version.scorer) & (F.col("engine") == version.engine)
    if ctx.store.last_commit(TABLE, version.part) is None:
        rows = gold_rows(ctx, version, score)
        if rows is None:
            return {}
        lineage = ctx.lineage("score_quality", {"name": version.name}, ("contents", "labels"))
        ctx.store.append(TABLE, rows, lineage | {"part": version.part}, step=str(version))
    shift = F.abs(F.col("quality") - F.col("previous_quality"))
    found = (
        ctx.store.read(TABLE)
        .filter(mine)
        .agg(
            F.count("*").alias("files"),
            (10 * F.avg(F.abs(F.col("quality") - F.col("label") / 10))).alias("mae"),
            F.max("previous").alias("previous"),
            F.avg(shift).alias("mean_shift"),
            F.max(shift).alias("max_shift"),
        )
        .first()
        .asDict()
    )
    refuse(found, version, ctx)
    return {
        key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()
    }


def gold_rows(
    ctx: Context, version: Version, score: Callable[[DataFrame, Context], DataFrame]
) -> DataFrame | None:
    """Rows of `gold_scores` for `version`; None where no content has a rating."""
    rated = ctx.inputs.get("labels").filter(
        (F.col("oracle") == ctx.cfg.labels.oracle) & F.col("score").isNotNull()
    )
    gold = rated.select("content_sha256", "shard", F.col("score").alias("label"))
    gold = gold.orderBy("content_sha256").limit(ctx.cfg.score.gold)
    if gold.isEmpty():
        return None
    due = having(ctx.inputs["contents"], gold, ["content_sha256", "shard"])
    # One partition, so that only one engine starts.
    scored = score(due.withColumn("scorer", F.lit(version.scorer)).coalesce(1), ctx)
    rows = scored.join(gold, ["content_sha256", "shard"]).withColumn(
        "engine", F.lit(version.engine)
    )
    before = previous(ctx.store, version)
    if before is None:
        return rows.withColumns({"previous": F.lit(None), "previous_quality": F.lit(None)})
    theirs = ctx.store.read(TABLE).filter(
        (F.col("scorer") == before.scorer) & (F.col("engine") == before.engine)
    )
    theirs = theirs.select("content_sha256", F.col("quality").alias("previous_quality"))
    return rows.join(theirs, "content_sha256", "left").withColumn("previous", F.lit(str(before)))


def previous(store: Store, version: Version) -> Version | None:
    """The newest version of the same name that scored the gold set and then contents, or None."""
    used = {
        (made.get("part", {}).get("scorer"), made.get("params", {}).get("engine", BUILT_IN))
        for made in _lineages(store, "scores")
    }
    for made in _lineages(store, TABLE):
        part = made["part"]
        if made["params"]["name"] == version.name and (part["scorer"], part["engine"]) in used:
            return Version(part["scorer"], part["engine"], version.name)
    return None


def refuse(found: dict[str, Any], version: Version, ctx: Context) -> None:
    """Raise SeedbedError where the scores differ by more than the limits.

    The same scorer on another engine may not move any file far. Another scorer of the name may not
    move the mean far.
    """
    if found["mean_shift"] is None:
        return
    settings = ctx.cfg.score
    same = found["previous"].startswith(f"{version.scorer} on ")
    field = "max_engine_shift" if same else "max_gold_shift"
    limit, shift = getattr(settings, field), found["max_shift" if same else "mean_shift"]
    if shift > limit:
        raise SeedbedError(
            f"scorer {version} moves the {found['files']} gold files by "
            f"{found['mean_shift']:.4f} on the mean and {found['max_shift']:.4f} at most "
            f"(quality is 0 to 1) from what {found['previous']} gave them; "
            f"score.{field} is {limit:g}",
            f"compare the two in table {TABLE}; raise score.{field} if the new one is right",
        )


def _lineages(store: Store, table: str) -> Iterator[dict[str, Any]]:
    """The lineages of the table's commits, newest first."""
    for _, info in commits(store.path(table)):
        yield json.loads(info.get("userMetadata") or "{}")
