"""What new and removed contents can change in an earlier run's pairs; all other rows stay.

Where the tables are those of a whole run with the same parameters and few contents came or went,
not all stars are drawn anew. A bucket that gained and lost no content has the star that it had.
Call a content affected if it came, went, or shares a bucket with one that did. A pair with an
unaffected content lies only in unchanged buckets, so its row stays. A pair of affected contents is
proposed again from all of its buckets. Their stars are drawn with all of their members.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.schema.curate import NearSettings
from seedbed.kernels.near_dup import minhash
from spark_jobs.near_dup import stars
from spark_jobs.near_dup.verification import Materialize
from spark_jobs.runtime.context import Context

# The largest share of contents that came or went. Where more did, most stars are drawn anyway.
MOST_CHANGED = 0.1


@dataclass(frozen=True)
class LastRun:
    """The rows of all tables of a run, and the version of each input that it read."""

    rows: DataFrame
    inputs: dict[str, int]


def last_run(
    ctx: Context, job: str, tables: tuple[str, ...], params: dict[str, Any], reads: tuple[str, ...]
) -> LastRun | None:
    """The last run of `job`, which wrote `tables`; None where its rows say nothing about this one.

    That is so in these cases: a table is missing, or the tables are of two runs (one was killed
    between them); parameters or code differ.
    """
    commits = [ctx.store.last_commit(table) for table in tables]
    lineages = [commit.lineage if commit else {} for commit in commits]
    asked = ctx.lineage(job, params, reads)
    if any(
        lineage | {"inputs": asked["inputs"]} != asked or lineage != lineages[0]
        for lineage in lineages
    ):
        return None
    rows = [
        ctx.store.read(table, commit.version) for table, commit in zip(tables, commits, strict=True)
    ]
    return LastRun(reduce(DataFrame.unionByName, rows), lineages[0]["inputs"])


def read_then(ctx: Context, last: LastRun, table: str) -> DataFrame | None:
    """An input as the last run read it; None where that version has been cleaned up."""
    try:
        return ctx.store.read(table, last.inputs[table])
    except AnalysisException:
        return None


@dataclass(frozen=True)
class Changed:
    """Rows of `signatures` that came since a run, and those that went. gone: None for no row."""

    came: DataFrame
    gone: DataFrame | None


def changed_signatures(ctx: Context, last: LastRun) -> Changed | None:
    """What changed since; None where that is more than MOST_CHANGED, or where it is not known."""
    now, then = ctx.inputs["signatures"], read_then(ctx, last, "signatures")
    if then is None:
        return None
    came = now.join(then.select("content_sha256"), "content_sha256", "left_anti")
    count, new = now.count(), came.count()
    gone = then.count() - (count - new)
    if new + gone > MOST_CHANGED * count:
        return None
    if not gone:
        return Changed(came, None)
    return Changed(came, then.join(now.select("content_sha256"), "content_sha256", "left_anti"))


def to_draw(
    changed: Changed, ctx: Context, materialize: Materialize
) -> tuple[DataFrame, DataFrame]:
    """(members, affected): (sha, band, key) of all buckets of affected contents, and their (sha).

    The driver finds them where it may hold all buckets; affected contents that went are among
    `affected` alone.
    """
    near, signatures = ctx.cfg.near, ctx.inputs["signatures"]
    came = buckets_of(stars.buckets(changed.came, near))
    gone = None if changed.gone is None else stars.buckets(changed.gone, near)
    fresh = came if gone is None else came.unionByName(buckets_of(gone)).distinct()
    if signatures.count() * near.bands <= near.driver_edges:
        members, affected = _on_driver(signatures, fresh, ctx)
    else:
        members, affected = _on_engine(signatures, fresh, near, materialize)
    if gone is not None:
        affected = affected.unionByName(gone.select("sha")).distinct()
    return members, materialize(affected, "affected contents")


def _on_driver(
    signatures: DataFrame, fresh: DataFrame, ctx: Context
) -> tuple[DataFrame, DataFrame]:
    near = ctx.cfg.near
    table = stars.bucket_rows(signatures, near).toArrow()
    # Engines differ in the width of their binary columns.
    table = table.cast(pa.schema({"sha": pa.binary(), "keys": pa.binary()}))
    keys = minhash.from_binary(table["keys"], 2 * near.bands).view("<i8")
    changed = fresh.toArrow()
    band, key = (changed[name].to_numpy() for name in ("band", "key"))

    def holders(wanted: list[np.ndarray]) -> np.ndarray:
        """bool (contents, bands): where a content's bucket is one of those wanted in its band."""
        found = [np.isin(keys[:, band], these) for band, these in enumerate(wanted)]
        return np.stack(found, axis=1)

    affected = holders([key[band == number] for number in range(near.bands)]).any(axis=1)
    row, at = np.nonzero(holders(list(keys[affected].T)))
    members = pa.table(
        {
            "sha": table["sha"].take(pa.array(row)),
            "band": pa.array(at, pa.int32()),
            "key": pa.array(keys[row, at]),
        }
    )
    named = table.select(["sha"]).filter(pa.array(affected))
    spark = ctx.spark
    return (
        spark.createDataFrame(members, "sha binary, band int, key long"),
        spark.createDataFrame(named, "sha binary"),
    )


def _on_engine(
    signatures: DataFrame, fresh: DataFrame, near: NearSettings, materialize: Materialize
) -> tuple[DataFrame, DataFrame]:
    members = materialize(stars.buckets(signatures, near), "buckets")
    fresh = materialize(fresh, "buckets of changed contents")
    affected = materialize(within(members, fresh).select("sha").distinct(), "affected contents")
    theirs = buckets_of(members.join(affected, "sha", "left_semi"))
    theirs = materialize(theirs, "buckets of affected contents")
    return within(members, theirs), affected


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
