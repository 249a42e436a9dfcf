"""cluster_near_dups against brute force: components, split chains and survivors."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import networkx
import numpy as np
import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from seedbed.queries.certify import hashes
from seedbed.queries.diff_clusters import diff
from spark_jobs import cluster_near_dups, find_near_pairs, sign_contents
from spark_jobs.near_dup.bins import PER_CONTENT
from spark_jobs.runtime.store import Store
from tests.report import tiny
from tests.spark_jobs.near import (
    EMPTY,
    NEAR,
    SHORT,
    TEXTS,
    context,
    sha,
    sign_and_cluster,
    similarity,
    write_inputs,
)


@pytest.fixture(scope="module")
def clusters(clustered: Store) -> dict[str, Row]:
    rows = clustered.read("clusters").collect()
    assert len(rows) == len(TEXTS)
    return {row.content_sha256: row for row in rows}


def similarity_graph(
    sets: dict[str, set[int]], keys: dict[str, np.ndarray]
) -> tuple[networkx.Graph, int]:
    """(graph, failed) by brute force.

    The edges are the similar pairs that share a bucket; failed counts the others that share one.
    """
    graph = networkx.Graph()
    graph.add_nodes_from(sets)
    failed = 0
    for a, b in itertools.combinations(sets, 2):
        if sets[a] and sets[b] and (keys[a] == keys[b]).any():
            similar = similarity(sets[a], sets[b]) >= NEAR.threshold
            failed += not similar
            if similar:
                graph.add_edge(a, b)
    return graph, failed


def first_leaders(
    members: list[str], sets: dict[str, set[int]], threshold: float
) -> dict[str, str]:
    """Member -> survivor, where each joins the first survivor that is similar enough.

    All members have the same rank except for their hashes.
    """
    keeper: dict[str, str] = {}
    for member in sorted(members):
        near = [
            k
            for k in sorted(set(keeper.values()))
            if similarity(sets[member], sets[k]) >= threshold
        ]
        keeper[member] = near[0] if near else member
    return keeper


def test_components_are_those_of_comparing_every_pair_in_every_bucket(
    clusters: dict[str, Row], sets: dict[str, set[int]], keys: dict[str, np.ndarray]
) -> None:
    graph, failed = similarity_graph(sets, keys)
    want = {node: min(part) for part in networkx.connected_components(graph) for node in part}
    assert {key: row.component_id for key, row in clusters.items()} == want
    # Some candidates failed the verification.
    assert failed > 10
    assert len(set(want.values())) < len(want) - 50


def test_a_component_that_chains_is_split_so_that_all_are_near_their_survivor(
    clusters: dict[str, Row], sets: dict[str, set[int]], keys: dict[str, np.ndarray]
) -> None:
    graph, _ = similarity_graph(sets, keys)
    want: dict[str, str] = {}
    for part in networkx.connected_components(graph):
        want |= first_leaders(list(part), sets, NEAR.threshold)
    survivor = {row.cluster_id: key for key, row in clusters.items() if row.survivor}
    assert {key: survivor[row.cluster_id] for key, row in clusters.items()} == want
    for key, row in clusters.items():
        assert (
            row.jaccard
            == (similarity(sets[key], sets[want[key]]) if sets[key] else 1.0)
            >= NEAR.threshold
        )
    # Some components were chains.
    assert len(set(want.values())) > networkx.number_connected_components(graph) + 5


def test_a_component_over_the_cap_is_cut_into_pieces_of_it(
    spark: SparkSession, tmp_path: Path, clustered: Store, sets: dict[str, set[int]]
) -> None:
    """Pieces follow the order of signatures, and each has survivors of its own."""
    ctx = context(spark, Path(clustered.root), "near.component_cap=4")
    components = clustered.read("clusters").select("content_sha256", "component_id")
    members = cluster_near_dups.in_pieces(components, ctx).collect()
    sizes = Counter((row.component_id, row.piece) for row in members)
    assert max(sizes.values()) == 4
    signature = {
        row.content_sha256: bytes(row.signature) for row in clustered.read("signatures").collect()
    }
    for component in {row.component_id for row in members if row.piece}:
        these = sorted(
            (row.piece, signature[row.content_sha256])
            for row in members
            if row.component_id == component
        )
        assert [s for _, s in these] == sorted(s for _, s in these)
    ranked = cluster_near_dups.ranked(cluster_near_dups.in_pieces(components, ctx), ctx)
    rows = cluster_near_dups.with_survivors(ranked, ctx.inputs["contents"], NEAR).collect()
    piece = {row.content_sha256: (row.component_id, row.piece) for row in members}
    want: dict[str, str] = {}
    for group in sizes:
        want |= first_leaders(
            [key for key, its in piece.items() if its == group], sets, NEAR.threshold
        )
    assert {row.content_sha256: row.keeper for row in rows} == want


def test_a_component_of_too_many_bytes_is_cut_too(
    spark: SparkSession, clustered: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = context(spark, Path(clustered.root))
    components = clustered.read("clusters").select("content_sha256", "component_id")
    whole = cluster_near_dups.in_pieces(components, ctx).collect()
    assert {row.piece for row in whole} == {0}
    monkeypatch.setattr(cluster_near_dups, "PIECE", 9_000)
    members = cluster_near_dups.in_pieces(components, ctx).collect()
    assert {row.content_sha256 for row in members} == {row.content_sha256 for row in whole}
    costs = {sha(text): len(text) + PER_CONTENT for text in TEXTS}
    held: dict[tuple[str, int], list[int]] = {}
    for row in members:
        held.setdefault((row.component_id, row.piece), []).append(costs[row.content_sha256])
    # A piece ends with the member that fills it.
    assert all(sum(these) < 9_000 + max(these) for these in held.values())
    assert len({row.component_id for row in members if row.piece}) > 5


def test_what_edges_settle_is_what_the_texts_say(
    spark: SparkSession, clustered: Store, clusters: dict[str, Row], sets: dict[str, set[int]]
) -> None:
    ctx = context(spark, Path(clustered.root))
    components = clustered.read("clusters").select(
        "content_sha256", "component_id", F.lit(0).alias("piece")
    )
    members = cluster_near_dups.ranked(components, ctx)
    edges = clustered.read("near_edges")
    rows = cluster_near_dups.settled_by_edges(members, edges, NEAR).collect()
    survivor = {row.cluster_id: key for key, row in clusters.items() if row.survivor}
    found = {row.content_sha256: (row.component_id, row.keeper, row.jaccard) for row in rows}
    want = {
        key: (row.component_id, survivor[row.cluster_id], row.jaccard)
        for key, row in clusters.items()
    }
    assert found == {key: want[key] for key in found}
    sizes = Counter(row.component_id for row in clusters.values())
    # A component of two is one edge.
    assert {key for key, row in clusters.items() if sizes[row.component_id] <= 2} <= set(found)
    assert sum(sizes[component] > 2 for component, _, _ in found.values()) > 5
    # Chains need the texts.
    assert len(found) < len(clusters) - 10


def test_survivors_are_carried_from_batch_to_batch(spark: SparkSession, clustered: Store) -> None:
    before = spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch")
    ctx = context(spark, Path(clustered.root))
    components = clustered.read("clusters").select("content_sha256", "component_id")
    ranked = cluster_near_dups.ranked(cluster_near_dups.in_pieces(components, ctx), ctx)
    led = cluster_near_dups.with_survivors(ranked, ctx.inputs["contents"], NEAR)
    try:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "4")
        small = sorted(map(tuple, led.collect()))
    finally:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", before)
    rows = clustered.read("clusters")
    keepers = rows.filter("survivor").select("cluster_id", F.col("content_sha256").alias("keeper"))
    want = (
        rows.join(keepers, "cluster_id")
        .select("content_sha256", "component_id", "keeper", "jaccard")
        .collect()
    )
    assert small == sorted(map(tuple, want))


def test_cluster_rows_agree_with_each_other(clusters: dict[str, Row]) -> None:
    size = Counter(row.cluster_id for row in clusters.values())
    survivors = Counter(row.cluster_id for row in clusters.values() if row.survivor)
    assert set(survivors.values()) == {1}
    for key, row in clusters.items():
        assert row.cluster_size == size[row.cluster_id]
        assert row.cluster_id == min(
            k for k, r in clusters.items() if r.cluster_id == row.cluster_id
        )
        assert row.shard == int(key[0], 16) // 8


def test_documents_without_tokens_stay_alone(clusters: dict[str, Row]) -> None:
    assert {clusters[sha(text)].cluster_size for text in EMPTY} == {1}


def test_documents_shorter_than_a_shingle_are_compared_by_all_they_have(
    clusters: dict[str, Row],
) -> None:
    assert [clusters[sha(text)].cluster_size for text in SHORT] == [2, 2, 1]


@pytest.mark.slow
def test_new_files_hash_only_themselves_and_give_the_tables_of_a_full_run(
    spark: SparkSession, tmp_path: Path, clustered: Store
) -> None:
    """Three random lots come one after the other: half, most of the rest, and three contents."""
    drawn = np.random.default_rng(1).permutation(TEXTS).tolist()
    store = sign_and_cluster(spark, tmp_path, seed=1, parts=2, texts=drawn[: len(TEXTS) // 2])
    for seen, upto in ((len(TEXTS) // 2, len(TEXTS) - 3), (len(TEXTS) - 3, len(TEXTS))):
        write_inputs(store, drawn[:upto], seed=upto, parts=2)
        assert sign_contents.JOB.run(context(spark, tmp_path)).rows_in == upto - seen
        pairs = find_near_pairs.JOB.run(context(spark, tmp_path)).notes
        assert 0 < pairs["pairs_verified"] < pairs["pairs"]
    cluster_near_dups.JOB.run(context(spark, tmp_path))
    tables = ("signatures", "near_misses", "near_edges", "clusters")
    assert hashes(store.root, tables) == hashes(clustered.root, tables)
    assert (
        f"clusters@0 -> clusters@1: {len(TEXTS) - len(TEXTS) // 2} contents came, 0 left"
        in diff(store.root)
    )


def test_a_second_run_does_nothing_and_reports_add_up(
    spark: SparkSession, clustered: Store
) -> None:
    ctx = context(spark, Path(clustered.root))
    assert cluster_near_dups.JOB.run(ctx) is None
    summary = cluster_near_dups.summarize(ctx)
    assert summary.rows_in == len(TEXTS) == summary.rows_out + summary.dropped["duplicate_near"]
    assert summary.notes["contents_freed"] > 5
    assert summary.notes["components_split"] > 2
    sizes = [
        size
        for _, size, lowest, mean in summary.notes["largest_clusters"]
        if 0.7 <= lowest <= mean <= 1
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == cluster_near_dups.LARGEST


def test_survivors_are_ranked_by_licence_then_stars_then_recency_then_hash(
    spark: SparkSession, tmp_path: Path
) -> None:
    """There is one cluster per rule.

    Where the last rule alone would choose the other member, the better one has the larger hash.
    """
    clusters: list[tuple[dict[str, object], dict[str, object]]] = [
        ({"license": "MIT"}, {"stars": 900, "last_commit": "2026-01-01"}),
        ({"stars": 5}, {"stars": 4, "last_commit": "2026-01-01"}),
        ({"stars": 0}, {}),
        ({"stars": 5, "last_commit": "2025-06-01"}, {"stars": 5, "last_commit": "2025-05-31"}),
        ({}, {}),
    ]
    members = {
        f"{k}-{name}": facts
        for k, pair in enumerate(clusters)
        for name, facts in zip("ba", pair, strict=True)
    }
    assert survivors(spark, tmp_path, members) == ["0-b", "1-b", "2-b", "3-b", "4-a"]


def survivors(
    spark: SparkSession, output: Path, members: dict[str, dict[str, object]]
) -> list[str]:
    """The best member of each component.

    Each member is in a repository of its own, and in one of which nothing is known.
    """
    ctx = context(spark, output)
    repos: list[dict[str, object]] = [
        {"repo": key, "revision": "1"} | {k: v for k, v in facts.items() if k != "license"}
        for key, facts in members.items()
    ]
    tiny.write_table(output, "repos", [*repos, {"repo": "z", "revision": "1"}])
    files = [
        {"content_sha256": key, "repo": repo, "revision": "1", "license": facts.get("license")}
        for key, facts in members.items()
        for repo in (key, "z")
    ]
    tiny.write_table(output, "files", files)
    components = spark.createDataFrame(
        [(key, key[0], 0) for key in members],
        "content_sha256 string, component_id string, piece int",
    )
    rows = cluster_near_dups.ranked(components, ctx).collect()
    assert len(rows) == len(members)
    return sorted(row.content_sha256 for row in rows if row.place == 1)
