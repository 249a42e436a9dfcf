"""The contents whose rows of `clusters` may differ from those of the last run; all others stay.

The rows of a component follow from its edges and from its members' texts, signatures and standing
(licence, stars, last commit). Texts and signatures never change. Call a content touched if one of
its edges came or went, if its standing changed, or if the last run linked it, directly or through
others, to such a content. No edge joins a touched content with another one: an old edge would have
linked both, and a new edge touches both. So the components of touched contents are found from their
edges alone, and every other component has the members, edges and standings that it had.
"""

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.near_dup.incremental import LastRun, last_run, read_then
from spark_jobs.near_dup.standing import STANDING, standing
from spark_jobs.near_dup.verification import Materialize
from spark_jobs.runtime.context import Context

_EDGE = ["a", "b", "jaccard"]


def last_clusters(
    ctx: Context, job: str, tables: tuple[str, ...], params: dict[str, Any], reads: tuple[str, ...]
) -> LastRun | None:
    """The last run of `job`; None also where its edges come from other parameters.

    Signatures of other parameters would cut large components in another way.
    """
    last = last_run(ctx, job, tables, params, reads)
    if last is None:
        return None
    then = ctx.store.commit_at("near_edges", last.inputs["near_edges"])
    now = ctx.store.commit_at("near_edges", ctx.inputs.version("near_edges"))
    if then is None or now is None or _made_by(then.lineage) != _made_by(now.lineage):
        return None
    return last


def _made_by(lineage: dict[str, Any]) -> tuple[Any, Any]:
    return lineage.get("code"), lineage.get("params")


def touched(last: LastRun, ctx: Context, materialize: Materialize) -> DataFrame | None:
    """(content_sha256) of the touched contents; None where inputs of that run are cleaned up."""
    then = {name: read_then(ctx, last, name) for name in ("near_edges", "files", "repos")}
    if any(frame is None for frame in then.values()):
        return None
    before, now = then["near_edges"].select(*_EDGE), ctx.inputs["near_edges"].select(*_EDGE)
    edges = now.join(before, _EDGE, "left_anti").unionByName(before.join(now, _EDGE, "left_anti"))
    hit = _ends(materialize(edges, "changed edges"))
    if any(last.inputs[name] != ctx.inputs.version(name) for name in ("files", "repos")):
        linked = _ends(now).distinct()
        stood = standing(linked, then["files"], then["repos"])
        stands = standing(linked, ctx.inputs["files"], ctx.inputs["repos"])
        hit = hit.unionByName(_differing(stood, stands))
    hit = materialize(hit.distinct(), "contents with changes")
    theirs = last.rows.join(hit, "content_sha256", "left_semi").select("component_id").distinct()
    linked_then = last.rows.join(theirs, "component_id", "left_semi").select("content_sha256")
    return materialize(linked_then.unionByName(hit).distinct(), "touched contents")


def _ends(edges: DataFrame) -> DataFrame:
    return edges.select(F.col("a").alias("content_sha256")).unionByName(
        edges.select(F.col("b").alias("content_sha256"))
    )


def _differing(before: DataFrame, now: DataFrame) -> DataFrame:
    """(content_sha256) of the contents whose standing is not the same in both."""
    old = before.withColumnsRenamed({name: f"{name}_then" for name in STANDING})
    same = reduce(and_, [F.col(name).eqNullSafe(F.col(f"{name}_then")) for name in STANDING])
    return now.join(old, "content_sha256", "full").filter(~same).select("content_sha256")
