"""Finds the pairs of an earlier run that new contents can change, and keeps all others.

Where the tables are those of a whole run with the same parameters and few contents are new, not all
stars are drawn anew. A bucket without a new content has the star that it had. Call a content
affected if it is new or shares a bucket with a new content. A pair with an unaffected content lies
only in buckets without a new content, so its row stays. A pair of affected contents is proposed
again from all of its buckets. Their stars are drawn with all of their members.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.runtime.context import Context

# The largest share of new contents. Where more are new, most stars are drawn anyway.
MOST_NEW = 0.1


@dataclass(frozen=True)
class LastRun:
    """The rows of all tables of a run, and the signatures that came since."""

    rows: DataFrame
    new_signatures: DataFrame


def last_run(
    ctx: Context, job: str, tables: tuple[str, ...], params: dict[str, Any], reads: tuple[str, ...]
) -> LastRun | None:
    """The last run of `job`, which wrote `tables`; None where all stars must be drawn anew.

    That is so in these cases: a table is missing, or the tables are of two runs (one was killed
    between them); parameters or code differ; contents of that run are gone; more than MOST_NEW of
    the contents are new; the version of `signatures` that it read has been cleaned up.
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
    if came > MOST_NEW * count or count - came != then.count():
        return None
    rows = [
        ctx.store.read(table, commit.version) for table, commit in zip(tables, commits, strict=True)
    ]
    return LastRun(reduce(DataFrame.unionByName, rows), new)


def buckets_of(members: DataFrame) -> DataFrame:
    """(band, key): each bucket of `members` (sha, band, key) once."""
    return members.select("band", "key").distinct()


def within(members: DataFrame, buckets: DataFrame) -> DataFrame:
    """Those of `members` (sha, band, key) that lie in `buckets` (band, key)."""
    return members.join(buckets, ["band", "key"], "left_semi")


def merged(rows: DataFrame, before: DataFrame, affected: DataFrame) -> DataFrame:
    """Pairs (a, b, ...): from `rows` where both contents are affected, all others from `before`.

    affected: (content_sha256).
    """

    def flagged(frame: DataFrame) -> DataFrame:
        for end in ("a", "b"):
            frame = frame.join(
                affected.select(
                    F.col("content_sha256").alias(end), F.lit(True).alias(f"{end}_affected")
                ),
                end,
                "left",
            )
        return frame.withColumn(
            "both", F.coalesce(F.col("a_affected") & F.col("b_affected"), F.lit(False))
        )

    columns = before.columns
    anew = flagged(rows).filter("both").select(*columns)
    return anew.unionByName(flagged(before).filter("not both").select(*columns))
