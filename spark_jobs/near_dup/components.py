"""Connected components of the graph of near-duplicate edges.

The label of a content is the smallest hash of its component. Up to near.driver_edges edges the
labels are computed by union-find on the driver. Above that, large stars and small stars alternate
until no edge changes (Kiveris, Lattanzi, Mirrokni, Rastogi, Vassilvitskii 2014, "Connected
Components in MapReduce and Beyond", algorithms 1 and 2):

- large star: every node links its larger neighbours to the smallest node of its neighbourhood,
  which includes itself;
- small star: every node links its smaller neighbours, and itself, to the smallest of them.

Then each node is linked to the smallest of its component. Each round is one Delta commit under
DIR/curate/components/<table>, which the next round reads. So no query plan grows, and a killed run
continues after its last whole round. Both ways give the same labels, the minimum of a component.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.loader import config_hash
from seedbed.kernels.near_dup.components import components
from seedbed.tables.log import commits
from spark_jobs.runtime import session
from spark_jobs.runtime.context import Context

_EDGES = pa.schema({"a": pa.binary(), "b": pa.binary()})


def connected(edges: DataFrame, ctx: Context, graph: str, made_from: dict[str, Any]) -> DataFrame:
    """(content_sha256, component_id) of the contents that have an edge.

    edges: (a, b), binary hashes. graph: names the folder of the rounds. made_from: all that the
    edges depend on, so that a run does not continue rounds of another graph.
    """
    count = edges.count()
    if count <= ctx.cfg.near.driver_edges:
        labels = on_driver(edges, ctx)
    else:
        key = config_hash(made_from | {"edges": count})
        labels = by_stars(edges, f"{ctx.store.root}/curate/components/{graph}", key)
    return labels.select(
        _hex("node").alias("content_sha256"), _hex("component").alias("component_id")
    )


def on_driver(edges: DataFrame, ctx: Context) -> DataFrame:
    """(node, component) by union-find in one process.

    It holds two hashes of 32 bytes per edge. 10 million edges take about five seconds and less than
    2 GB.
    """
    # Engines differ in the width of their binary columns.
    table = edges.select("a", "b").toArrow().cast(_EDGES)
    nodes = pc.unique(pa.chunked_array([*table["a"].chunks, *table["b"].chunks], pa.binary()))
    if not len(nodes):
        return ctx.spark.createDataFrame([], "node binary, component binary")
    # Sorted, so that the smallest node is the smallest hash.
    nodes = nodes.take(pc.sort_indices(nodes))
    left, right = (pc.index_in(table[end], value_set=nodes).to_numpy() for end in ("a", "b"))
    label = components(len(nodes), left, right)
    return ctx.spark.createDataFrame(
        pa.table({"node": nodes, "component": nodes.take(pa.array(label))})
    )


def by_stars(edges: DataFrame, folder: str, key: str) -> DataFrame:
    """(node, component) by alternating stars.

    folder: where the rounds are written. key: names the graph; a run does not continue rounds of
    another graph.
    """
    spark = edges.sparkSession
    found = _last_round(spark, folder, key)
    if found is None:
        upwards = edges.filter("a <> b").select(
            F.greatest("a", "b").alias("a"), F.least("a", "b").alias("b")
        )
        found = _write_round(upwards.distinct(), folder, key, 0, None)
    while not found["done"]:
        stars = small_star(large_star(_read(spark, folder, found["version"])))
        found = _write_round(stars, folder, key, found["round"] + 1, found["edges"])
    stars = _read(spark, folder, found["version"])
    centres = (
        stars.select("b").distinct().select(F.col("b").alias("node"), F.col("b").alias("component"))
    )
    return stars.select(F.col("a").alias("node"), F.col("b").alias("component")).unionByName(
        centres
    )


def large_star(edges: DataFrame) -> DataFrame:
    """One large star over edges (a, b) with a > b; the result has the same form."""
    both = edges.unionByName(edges.select(F.col("b").alias("a"), F.col("a").alias("b")))
    smallest = both.groupBy("a").agg(F.least("a", F.min("b")).alias("m"))
    return (
        both.join(smallest, "a")
        .filter("b > a")
        .select(F.col("b").alias("a"), F.col("m").alias("b"))
        .distinct()
    )


def small_star(edges: DataFrame) -> DataFrame:
    """One small star over edges (a, b) with a > b; the result has the same form."""
    smallest = edges.groupBy("a").agg(F.min("b").alias("m"))
    handed = (
        edges.join(smallest, "a")
        .filter("b <> m")
        .select(F.col("b").alias("a"), F.col("m").alias("b"))
    )
    return handed.unionByName(smallest.select("a", F.col("m").alias("b"))).distinct()


def _write_round(
    edges: DataFrame, folder: str, key: str, number: int, before: str | None
) -> dict[str, Any]:
    """Commit the edges of one round, and return the record of `_last_round`.

    before: the hash of the edges before the round. The rounds end where it does not change.
    """
    spark = edges.sparkSession
    record = json.dumps({"key": key, "round": number, "before": before})
    edges.write.format("delta").option("userMetadata", record).mode("overwrite").save(
        session.engine().path(folder)
    )
    return _last_round(spark, folder, key)  # type: ignore[return-value]


def _last_round(spark: Any, folder: str, key: str) -> dict[str, Any] | None:
    """The newest whole round of graph `key`, or None.

    It holds the round's number and version, a hash of its edges, and whether nothing changed.
    """
    for version, info in commits(folder):
        record = json.loads(info.get("userMetadata") or "{}")
        if record.get("key") != key:
            return None
        total, count = (
            _read(spark, folder, version)
            .agg(F.sum(F.xxhash64("a", "b").cast("decimal(38,0)")), F.count("*"))
            .first()
        )
        edges = f"{count}:{total}"
        return {
            "round": record["round"],
            "version": version,
            "edges": edges,
            "done": count == 0 or edges == record["before"],
        }
    return None


def _read(spark: Any, folder: str, version: int) -> DataFrame:
    return (
        spark.read.format("delta")
        .option("versionAsOf", version)
        .load(session.engine().path(folder))
    )


def _hex(column: str) -> Column:
    return F.lower(F.hex(column))
