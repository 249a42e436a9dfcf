"""What new contents can change in the pairs of an earlier run, and what stays; how and why is told
in find_near_pairs.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.runtime.context import Context

# of the contents: where more are new, most stars are drawn anyway
FEW = 0.1


@dataclass(frozen=True)
class LastRun:
    """The rows that a run left in all of its tables, and the signatures that came since."""

    rows: DataFrame
    new_signatures: DataFrame


def last_run(
    ctx: Context, job: str, tables: tuple[str, ...], params: dict[str, Any], reads: tuple[str, ...]
) -> LastRun | None:
    """The last run of `job`, which wrote `tables`; None where all stars are to be drawn anew.

    That is so where a table is missing or of another run (killed between the two), parameters or
    code differ, contents of then are gone, more than FEW are new, or the version of `signatures`
    that was read then has been cleaned up.
    """
    commits = [ctx.store.last_commit(table) for table in tables]
    lineages = [commit.lineage if commit else {} for commit in commits]
    asked = ctx.lineage(job, params, reads)
    if any(
        lineage | {"inputs": asked["inputs"]} != asked or lineage != lineages[0]
        for lineage in lineages
    ):
        return None
    now = ctx.inputs["signatures"]
    try:
        then = ctx.store.read("signatures", lineages[0]["inputs"]["signatures"])
    except AnalysisException:
        return None
    new = now.join(then.select("content_sha256"), "content_sha256", "left_anti")
    count, came = now.count(), new.count()
    if came > FEW * count or count - came != then.count():
        return None
    rows = [
        ctx.store.read(table, commit.version) for table, commit in zip(tables, commits, strict=True)
    ]
    return LastRun(reduce(DataFrame.unionByName, rows), new)


def places(members: DataFrame) -> DataFrame:
    """(band, key): each bucket that `members` (sha, band, key) lie in, once."""
    return members.select("band", "key").distinct()


def within(members: DataFrame, places: DataFrame) -> DataFrame:
    """Those of `members` (sha, band, key) that lie in the buckets `places`."""
    return members.join(places, ["band", "key"], "left_semi")


def merged(rows: DataFrame, before: DataFrame, contents: DataFrame) -> DataFrame:
    """Pairs (a, b, ...) of which both are in `contents` (content_sha256) as in `rows`, all others
    as in `before`.
    """

    def flagged(frame: DataFrame) -> DataFrame:
        for end in ("a", "b"):
            frame = frame.join(
                contents.select(
                    F.col("content_sha256").alias(end), F.lit(True).alias(f"{end}_moved")
                ),
                end,
                "left",
            )
        return frame.withColumn(
            "both", F.coalesce(F.col("a_moved") & F.col("b_moved"), F.lit(False))
        )

    columns = before.columns
    anew = flagged(rows).filter("both").select(*columns)
    return anew.unionByName(flagged(before).filter("not both").select(*columns))
