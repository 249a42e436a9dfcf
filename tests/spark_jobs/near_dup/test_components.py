"""Distributed components against union-find, on difficult shapes and after a kill."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from seedbed.tables.log import commits
from spark_jobs.near_dup import components
from tests.spark_jobs.near import context

GENERATOR = np.random.default_rng(8)
N = 36


def graph(kind: str) -> list[tuple[int, int]]:
    """Edges between nodes 0 to N - 1."""
    if kind == "random":
        return GENERATOR.integers(0, N, (N // 2, 2)).tolist()
    if kind == "chain":
        order = GENERATOR.permutation(N).tolist()
        return list(itertools.pairwise(order))
    if kind == "sorted chain":
        return [(i, i + 1) for i in range(N - 1)]
    if kind == "star":
        return [(N - 1, i) for i in range(N - 1)]
    if kind == "cliques":
        return [(a, b) for a in range(24) for b in range(a) if a // 8 == b // 8]
    # Loops, and one edge twice.
    return [(i, i) for i in range(9)] + [(1, 2), (2, 1)]


@pytest.fixture(scope="module")
def edges(spark: SparkSession) -> DataFrame:
    """All shapes side by side, with random names and random directions of the edges."""
    rows = []
    for number, kind in enumerate(("random", "chain", "sorted chain", "star", "cliques", "loops")):
        names = [bytes(GENERATOR.integers(0, 256, 8, np.uint8)) + bytes([number]) for _ in range(N)]
        rows += [
            (names[a], names[b]) if GENERATOR.random() < 0.5 else (names[b], names[a])
            for a, b in graph(kind)
        ]
    return spark.createDataFrame(rows, "a binary, b binary").repartition(3)


def labels(frame: DataFrame) -> dict[bytes, bytes]:
    rows = frame.collect()
    found = {bytes(row["node"]): bytes(row["component"]) for row in rows}
    assert len(found) == len(rows)
    return found


def without_loops(found: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The labels without nodes that are alone in their component; only a loop names them."""
    sizes: dict[bytes, int] = {}
    for component in found.values():
        sizes[component] = sizes.get(component, 0) + 1
    return {node: component for node, component in found.items() if sizes[component] > 1}


@pytest.mark.slow
def test_stars_give_the_labels_of_union_find_also_after_a_kill_between_rounds(
    spark: SparkSession, tmp_path: Path, edges: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = without_loops(labels(components.on_driver(edges, context(spark, tmp_path))))
    assert len(set(want.values())) > 8
    folder = str(tmp_path / "rounds")
    rounds = 0

    def dies(frame: DataFrame) -> DataFrame:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            raise KeyboardInterrupt
        return small_star(frame)

    small_star = components.small_star
    monkeypatch.setattr(components, "small_star", dies)
    with pytest.raises(KeyboardInterrupt):
        components.by_stars(edges, folder, "one")
    monkeypatch.undo()
    assert recorded(spark, folder) == [0, 1, 2]
    assert labels(components.by_stars(edges, folder, "one")) == want
    done = recorded(spark, folder)
    # No round was repeated.
    assert done == list(range(len(done)))
    assert len(done) > 4
    assert labels(components.by_stars(edges.limit(0), folder, "another graph")) == {}


def recorded(spark: SparkSession, folder: str) -> list[int]:
    """The numbers of the committed rounds, in order."""
    return [json.loads(info["userMetadata"])["round"] for _, info in commits(folder)][::-1]


def test_the_edge_count_decides_who_joins(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(b"\x0b", b"\x0c"), (b"\x0c", b"\x0d"), (b"\x0e", b"\x0f")]
    edges = spark.createDataFrame(rows, "a binary, b binary")
    found = []
    for limit in (3, 2):
        ctx = context(spark, tmp_path, f"near.driver_edges={limit}")
        labels = components.connected(edges, ctx, "near_edges", {"edges": "these"})
        found.append(sorted(map(tuple, labels.collect())))
        assert (tmp_path / "curate/components").exists() == (limit == 2)
    assert (
        found[0]
        == found[1]
        == [("0b", "0b"), ("0c", "0b"), ("0d", "0b"), ("0e", "0e"), ("0f", "0e")]
    )


def test_a_graph_without_edges_has_no_components(spark: SparkSession, tmp_path: Path) -> None:
    edges = spark.createDataFrame([], "a binary, b binary")
    assert components.connected(edges, context(spark, tmp_path), "none", {}).collect() == []
