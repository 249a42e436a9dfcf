"""cluster_near_dups against brute force, and on the inputs that break near dedup elsewhere."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from pathlib import Path

import networkx
import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.curate import CurateConfig, NearSettings
from spark_jobs import cluster_near_dups, sign_contents
from spark_jobs.job import Context, Inputs
from spark_jobs.kernels import minhash
from spark_jobs.kernels.shingles import Hashes, distinct, shingle_hashes
from spark_jobs.tables import TABLES, Store, shard_of

NEAR = NearSettings()
GENERATOR = np.random.default_rng(11)


def words(count: int) -> list[str]:
    return [f"w{i}" for i in GENERATOR.integers(0, 5000, count)]


def family(size: int, length: int, edits: int) -> list[str]:
    """A text and `size - 1` descendants, each with `edits` more words replaced: a chain that drifts below the threshold."""
    text = words(length)
    versions = [" ".join(text)]
    for _ in range(size - 1):
        for place in GENERATOR.integers(0, length, edits):
            text[place] = f"edit{GENERATOR.integers(0, 10**9)}"
        versions.append(" ".join(text))
    return versions


EMPTY = ["()", "\n\n", "#!", "{}[]"]
SHORT = ["import os", "import  os\n", "import sys"]
TEXTS = (
    [text for _ in range(12) for text in family(6, 400, 5)]  # J of neighbours about .88, of the ends about .55
    + [text for _ in range(4) for text in family(5, 200, 2)]
    + [" ".join(words(300)) for _ in range(20)]
    + EMPTY
    + SHORT
)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write_inputs(store: Store, texts: list[str], seed: int, parts: int) -> None:
    """contents, files and repos for `texts`, in an order and a partitioning of their own."""
    rows = [(sha(t), t, len(t.encode()), "Python") for t in texts]
    np.random.default_rng(seed).shuffle(rows)
    frame = store.spark.createDataFrame(rows, "content_sha256 string, text string, bytes long, language string")
    frame = frame.repartition(parts).withColumn("shard", shard_of(F.col("content_sha256"), 4))
    store.overwrite("contents", frame, {})
    files = frame.select("content_sha256", "bytes", F.lit("r").alias("repo"), F.lit("1").alias("revision"))
    store.overwrite("files", padded("files", files), {})
    store.overwrite("repos", store.read_or_empty("repos"), {})


def padded(table: str, frame: DataFrame) -> DataFrame:
    missing = {f.name: F.lit(None).cast(f.dataType) for f in TABLES[table].schema if f.name not in frame.columns}
    return frame.withColumns(missing)


def context(spark: SparkSession, output: Path, *overrides: str) -> Context:
    store = Store(spark, str(output))
    return Context(load(CurateConfig, None, [f"output={output}", *overrides]), store, Inputs(store))


def sign_and_cluster(spark: SparkSession, output: Path, seed: int, parts: int) -> Store:
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", str(parts))
    try:
        ctx = context(spark, output)
        write_inputs(ctx.store, TEXTS, seed, parts)
        sign_contents.JOB.run(ctx)
        cluster_near_dups.JOB.run(context(spark, output))
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)
    return ctx.store


@pytest.fixture(scope="module")
def clustered(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """TEXTS, signed and clustered in three partitions."""
    return sign_and_cluster(spark, tmp_path_factory.mktemp("clustered"), seed=2, parts=3)


@pytest.fixture(scope="module")
def edges(clustered: Store) -> list[Row]:
    return clustered.read("near_edges").collect()


@pytest.fixture(scope="module")
def clusters(clustered: Store) -> dict[str, Row]:
    rows = clustered.read("clusters").collect()
    assert len(rows) == len(TEXTS)
    return {row.content_sha256: row for row in rows}


@pytest.fixture(scope="module")
def hashes() -> Hashes:
    return shingle_hashes(pa.array(TEXTS), NEAR.shingle)


@pytest.fixture(scope="module")
def sets(hashes: Hashes) -> dict[str, set[int]]:
    bounds = itertools.pairwise(hashes.offsets)
    return {sha(t): set(hashes.values[a:b].tolist()) for t, (a, b) in zip(TEXTS, bounds, strict=True)}


@pytest.fixture(scope="module")
def keys(hashes: Hashes) -> dict[str, np.ndarray]:
    signature = minhash.signatures(distinct(hashes), NEAR.num_perm, NEAR.seed)
    return dict(zip(map(sha, TEXTS), minhash.band_keys(signature, NEAR.bands, NEAR.rows), strict=True))


def similarity(a: set[int], b: set[int]) -> float:
    return len(a & b) / max(len(a | b), 1)


def test_clusters_are_those_of_comparing_every_pair_in_every_bucket(
    clusters: dict[str, Row], sets: dict[str, set[int]], keys: dict[str, np.ndarray]
) -> None:
    graph = networkx.Graph()
    graph.add_nodes_from(sets)
    failed = 0
    for a, b in itertools.combinations(sets, 2):
        if sets[a] and sets[b] and (keys[a] == keys[b]).any():
            similar = similarity(sets[a], sets[b]) >= NEAR.threshold
            failed += not similar
            if similar:
                graph.add_edge(a, b)
    want = {node: min(part) for part in networkx.connected_components(graph) for node in part}
    assert {key: row.cluster_id for key, row in clusters.items()} == want
    assert failed > 10  # candidates that verification turned down
    assert len(set(want.values())) < len(want) - 50


def test_every_edge_carries_its_evidence(
    edges: list[Row], sets: dict[str, set[int]], keys: dict[str, np.ndarray], clustered: Store
) -> None:
    signature = {r.content_sha256: np.frombuffer(r.signature, "<u4") for r in clustered.read("signatures").collect()}
    assert len({(e.a, e.b) for e in edges}) == len(edges) > 50
    for e in edges:
        assert e.a < e.b
        assert e.jaccard == similarity(sets[e.a], sets[e.b]) >= NEAR.threshold
        assert e.jaccard_estimate == np.mean(signature[e.a] == signature[e.b])
        assert keys[e.a][e.band] == keys[e.b][e.band]


def test_cluster_rows_agree_with_each_other(clusters: dict[str, Row]) -> None:
    size = Counter(row.cluster_id for row in clusters.values())
    survivors = Counter(row.cluster_id for row in clusters.values() if row.survivor)
    assert set(survivors.values()) == {1}
    for key, row in clusters.items():
        assert row.cluster_size == size[row.cluster_id]
        assert row.cluster_id == min(k for k, r in clusters.items() if r.cluster_id == row.cluster_id)
        assert row.shard == int(key[0], 16) // 4


def test_documents_without_tokens_stay_alone(clusters: dict[str, Row]) -> None:
    assert {clusters[sha(text)].cluster_size for text in EMPTY} == {1}


def test_documents_shorter_than_a_shingle_are_compared_by_all_they_have(clusters: dict[str, Row]) -> None:
    assert [clusters[sha(text)].cluster_size for text in SHORT] == [2, 2, 1]


@pytest.mark.parametrize(("parts", "seed"), [(1, 1), (7, 3)])
def test_neither_partitions_nor_file_order_change_a_row(
    spark: SparkSession, tmp_path: Path, clustered: Store, parts: int, seed: int
) -> None:
    again = sign_and_cluster(spark, tmp_path, seed, parts)
    for table in ("signatures", "near_edges", "clusters"):
        assert again.fingerprint(table) == clustered.fingerprint(table)


def test_a_second_run_does_nothing_and_reports_add_up(spark: SparkSession, clustered: Store) -> None:
    ctx = context(spark, Path(clustered.root))
    assert cluster_near_dups.JOB.run(ctx) is None
    summary = cluster_near_dups.summarize(ctx)
    assert summary.rows_in == len(TEXTS) == summary.rows_out + summary.dropped["duplicate_near"]


def test_signatures_of_another_parameter_set_are_refused_and_both_are_named(
    spark: SparkSession, clustered: Store
) -> None:
    with pytest.raises(SeedbedError) as caught:
        cluster_near_dups.JOB.run(context(spark, Path(clustered.root), "near.num_perm=512"))
    assert "'num_perm': 256" in caught.value.problem
    assert "'num_perm': 512" in caught.value.problem


def test_contents_without_a_signature_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    ctx = context(spark, tmp_path)
    write_inputs(ctx.store, SHORT, seed=0, parts=1)
    ctx.store.overwrite("signatures", ctx.store.read_or_empty("signatures"), {"params": sign_contents.parameters(ctx)})
    with pytest.raises(SeedbedError, match=r"3 contents have no row in signatures\n  fix: run sign_contents first"):
        cluster_near_dups.JOB.run(ctx)


def bucket(spark: SparkSession, members: list[str], band: int = 3) -> DataFrame:
    frame = spark.createDataFrame([(m, band, 99) for m in members], "hex string, band int, key long")
    return frame.select(F.unhex("hex").alias("sha"), "band", "key")


def hex_pairs(frame: DataFrame, left: str, right: str) -> list[tuple[str, str]]:
    return sorted((bytes(r[left]).hex(), bytes(r[right]).hex()) for r in frame.collect())


def test_a_bucket_is_linked_as_a_star_on_its_smallest_member(spark: SparkSession) -> None:
    members = [f"{i:02x}" for i in (9, 3, 7, 5)]
    links = cluster_near_dups.star_links(bucket(spark, members), cap=1000)
    assert hex_pairs(links, "hub", "sha") == [("03", "05"), ("03", "07"), ("03", "09")]
    assert cluster_near_dups.star_links(bucket(spark, ["07"]), cap=1000).count() == 0


def test_a_bucket_over_the_cap_is_cut_into_stars_whose_hubs_are_linked(spark: SparkSession) -> None:
    members = [f"{i:02x}" for i in range(20)]
    links = hex_pairs(cluster_near_dups.star_links(bucket(spark, members), cap=8), "hub", "sha")
    assert len(links) == 19
    assert Counter(hub for hub, _ in links) == {"00": 7 + 2, "08": 7, "10": 3}
    assert networkx.is_connected(networkx.Graph(links))


def test_a_million_member_bucket_gives_a_link_a_member(spark: SparkSession) -> None:
    n = 1_000_000
    sha_of = F.unhex(F.lpad(F.hex("id"), 16, "0"))
    members = spark.range(n).select(sha_of.alias("sha"), F.lit(0).alias("band"), F.lit(1).cast("long").alias("key"))
    links = cluster_near_dups.star_links(members, cap=1000)
    total, largest = links.groupBy("hub").count().agg(F.sum("count"), F.max("count")).first()
    assert (total, largest) == (n - 1, 999 + 999)


def test_duplicates_of_each_other_are_found_although_both_failed_against_the_hub(
    spark: SparkSession, sets: dict[str, set[int]]
) -> None:
    """All in one bucket; the hub is like nobody, and the others are two families of near duplicates."""
    families = sorted((sorted(map(sha, TEXTS[6 * k : 6 * k + 2])) for k in range(12)), key=min)
    hub, pairs = families[0][0], families[1:3]
    contents = spark.createDataFrame([(sha(t), t) for t in TEXTS], "content_sha256 string, text string")
    links = cluster_near_dups.star_links(bucket(spark, [hub, *pairs[0], *pairs[1]]), cap=1000)
    first = cluster_near_dups.verify(cluster_near_dups.pairs_of(links), contents, NEAR)
    assert first.count() == 4
    assert first.filter(F.col("jaccard") >= NEAR.threshold).count() == 0

    again = cluster_near_dups.second_look(links, first, NEAR.threshold)
    assert again.count() == 6
    found = cluster_near_dups.verify(again, contents, NEAR).filter(F.col("jaccard") >= NEAR.threshold).collect()
    assert sorted([row.a, row.b] for row in found) == sorted(pairs)
    assert all(row.jaccard == similarity(sets[row.a], sets[row.b]) for row in found)


def test_verification_carries_a_hub_from_batch_to_batch(spark: SparkSession) -> None:
    texts = {f"{i:064x}": f"one two three four five {'six' if i % 3 else i}" for i in range(200)}
    contents = spark.createDataFrame(list(texts.items()), "content_sha256 string, text string")
    members = bucket(spark, list(texts))
    before = spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch")
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "7")
    try:
        pairs = cluster_near_dups.pairs_of(cluster_near_dups.star_links(members, cap=30))
        rows = cluster_near_dups.verify(pairs, contents, NEAR).collect()
    finally:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", before)
    assert len(rows) == 199
    for row in rows:
        same = texts[row.a] == texts[row.b]
        assert row.jaccard == (1 if same else 1 / 3)


def test_many_files_of_the_same_tokens_make_one_cluster_with_a_link_each(spark: SparkSession) -> None:
    texts = [f"x = 1{' ' * i}\n" for i in range(2500)]
    contents = spark.createDataFrame([(sha(t), t) for t in texts], "content_sha256 string, text string")
    signature = minhash.signatures(shingle_hashes(pa.array(texts), 5), NEAR.num_perm, NEAR.seed)
    columns = {"content_sha256": list(map(sha, texts)), "signature": minhash.to_binary(signature)}
    signed = spark.createDataFrame(pa.table(columns)).withColumn("shingles", F.lit(1))
    pairs = cluster_near_dups.pairs_of(
        cluster_near_dups.star_links(cluster_near_dups.buckets(signed, NEAR), NEAR.bucket_cap)
    )
    rows = cluster_near_dups.verify(pairs, contents, NEAR).collect()
    assert len(rows) == len(texts) - 1  # the same star in all 25 bands
    assert {(row.jaccard, row.band) for row in rows} == {(1.0, 0)}


def test_survivors_are_ranked_by_licence_then_stars_then_recency_then_hash(spark: SparkSession, tmp_path: Path) -> None:
    """One cluster a rule. The better member has the larger hash wherever the last rule alone would choose the other."""
    clusters: list[tuple[dict[str, object], dict[str, object]]] = [
        ({"license": "MIT"}, {"stars": 900, "last_commit": "2026-01-01"}),
        ({"stars": 5}, {"stars": 4, "last_commit": "2026-01-01"}),
        ({"stars": 0}, {}),
        ({"stars": 5, "last_commit": "2025-06-01"}, {"stars": 5, "last_commit": "2025-05-31"}),
        ({}, {}),
    ]
    members = {f"{k}-{name}": facts for k, pair in enumerate(clusters) for name, facts in zip("ba", pair, strict=True)}
    assert survivors(spark, tmp_path, members) == ["0-b", "1-b", "2-b", "3-b", "4-a", "alone"]


def survivors(spark: SparkSession, output: Path, members: dict[str, dict[str, object]]) -> list[str]:
    """The survivors, where each member comes from a repository of its own and one of which nothing is known."""
    ctx = context(spark, output)
    repos = [(key, "1", facts.get("stars"), facts.get("last_commit")) for key, facts in members.items()]
    schema = "repo string, revision string, stars int, last_commit string"
    ctx.store.overwrite("repos", padded("repos", spark.createDataFrame([*repos, ("z", "1", None, None)], schema)), {})
    files = [(key, repo, "1", facts.get("license")) for key, facts in members.items() for repo in (key, "z")]
    schema = "content_sha256 string, repo string, revision string, license string"
    ctx.store.overwrite("files", padded("files", spark.createDataFrame(files, schema)), {})
    contents = spark.createDataFrame([(key, 0) for key in [*members, "alone"]], "content_sha256 string, shard int")
    ctx.store.overwrite("contents", padded("contents", contents), {})
    schema = "content_sha256 string, cluster_id string, cluster_size int"
    clustered = spark.createDataFrame([(key, f"{key[0]}-a", 2) for key in members], schema)
    rows = cluster_near_dups.with_survivors(clustered, ctx).collect()
    assert len(rows) == len(members) + 1
    return sorted(row.content_sha256 for row in rows if row.survivor)
