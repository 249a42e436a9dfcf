"""find_near_pairs against brute force, and on inputs that break other near dedup programs."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import networkx
import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from conf.errors import SeedbedError
from seedbed.kernels.near_dup import minhash
from seedbed.kernels.near_dup.shingles import shingle_hashes
from spark_jobs import find_near_pairs, sign_contents
from spark_jobs.near_dup import stars
from spark_jobs.near_dup.verification import verify
from spark_jobs.runtime.store import Store
from tests.spark_jobs.near import NEAR, SHORT, TEXTS, context, sha, similarity, write_inputs


@pytest.fixture(scope="module")
def edges(clustered: Store) -> list[Row]:
    return clustered.read("near_edges").collect()


def test_every_edge_carries_its_evidence(
    edges: list[Row], sets: dict[str, set[int]], keys: dict[str, np.ndarray], clustered: Store
) -> None:
    signature = {
        r.content_sha256: np.frombuffer(r.signature, "<u4")
        for r in clustered.read("signatures").collect()
    }
    assert len({(e.a, e.b) for e in edges}) == len(edges) > 50
    for e in edges:
        assert e.a < e.b
        assert e.jaccard == similarity(sets[e.a], sets[e.b]) >= NEAR.threshold
        assert e.jaccard_estimate == np.mean(signature[e.a] == signature[e.b])
        assert keys[e.a][e.band] == keys[e.b][e.band]


def test_pairs_that_failed_are_kept_as_evidence_too(
    clustered: Store, edges: list[Row], sets: dict[str, set[int]]
) -> None:
    misses = clustered.read("near_misses").collect()
    assert misses
    assert not {(m.a, m.b) for m in misses} & {(e.a, e.b) for e in edges}
    assert all(m.jaccard == similarity(sets[m.a], sets[m.b]) < NEAR.threshold for m in misses)


@pytest.mark.slow
def test_pairs_compared_before_are_taken_over_whatever_the_threshold(
    spark: SparkSession, clustered: Store, tmp_path: Path, edges: list[Row]
) -> None:
    """One verdict is forged before the run. It stays, so the pair was not compared again."""
    shutil.copytree(clustered.root, tmp_path, dirs_exist_ok=True)
    store = Store(lambda: spark, str(tmp_path))
    forged = min((e.a, e.b) for e in edges)
    is_it = (F.col("a") == forged[0]) & (F.col("b") == forged[1])
    lie = F.when(is_it, 0.9999).otherwise(F.col("jaccard"))
    lineage = store.last_commit("near_edges").lineage
    store.overwrite("near_edges", store.read("near_edges").withColumn("jaccard", lie), lineage)
    summary = find_near_pairs.JOB.run(context(spark, tmp_path, "near.threshold=0.75"))
    want = {(e.a, e.b): e.jaccard for e in edges if e.jaccard >= 0.75} | {forged: 0.9999}
    found = {(e.a, e.b): e.jaccard for e in store.read("near_edges").collect()}
    assert {pair: found[pair] for pair in want} == want
    # The second look at 0.75 adds a few pairs.
    assert summary.notes["pairs_verified"] < summary.notes["pairs"] / 4


@pytest.mark.parametrize("setting", ["shingle=9", "num_perm=512", "seed=2"])
def test_similarities_of_other_parameters_are_not_taken_over(
    spark: SparkSession, clustered: Store, setting: str
) -> None:
    root = Path(clustered.root)
    same = find_near_pairs.compared_before(context(spark, root, "near.threshold=0.75"))
    assert same is not None
    assert same.count() > 0
    assert find_near_pairs.compared_before(context(spark, root, f"near.{setting}")) is None


def test_signatures_of_another_parameter_set_are_refused_and_both_are_named(
    spark: SparkSession, clustered: Store
) -> None:
    with pytest.raises(SeedbedError) as caught:
        find_near_pairs.JOB.run(context(spark, Path(clustered.root), "near.num_perm=512"))
    assert "'num_perm': 256" in caught.value.problem
    assert "'num_perm': 512" in caught.value.problem


def test_contents_without_a_signature_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    ctx = context(spark, tmp_path)
    write_inputs(ctx.store, SHORT, seed=0, parts=1)
    ctx.store.overwrite(
        "signatures",
        ctx.store.read_or_empty("signatures"),
        {"params": sign_contents.parameters(ctx)},
    )
    with pytest.raises(
        SeedbedError, match=r"3 contents have no row in signatures\n  fix: run sign_contents first"
    ):
        find_near_pairs.JOB.run(ctx)


def test_signatures_of_contents_that_are_gone_are_refused_until_sign_contents_deletes_them(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many contents come as go, so that the numbers of rows agree."""
    store = context(spark, tmp_path).store
    write_inputs(store, SHORT[:2], seed=0, parts=1)
    sign_contents.JOB.run(context(spark, tmp_path))
    rows = store.read("signatures", 0)
    write_inputs(store, SHORT[1:], seed=0, parts=1)
    sign_contents.JOB.run(context(spark, tmp_path))
    assert "1 rows of contents that are gone: deleted" in capsys.readouterr().out
    signed = {row.content_sha256 for row in store.read("signatures").collect()}
    assert signed == {sha(text) for text in SHORT[1:]}
    lineage = {"params": sign_contents.parameters(context(spark, tmp_path))}
    store.overwrite("signatures", store.read("signatures").unionByName(rows), lineage)
    with pytest.raises(SeedbedError, match="signatures are of contents that are gone"):
        find_near_pairs.JOB.run(context(spark, tmp_path))


def bucket(spark: SparkSession, members: list[str], band: int = 3) -> DataFrame:
    frame = spark.createDataFrame(
        [(m, band, 99) for m in members], "hex string, band int, key long"
    )
    return frame.select(F.unhex("hex").alias("sha"), "band", "key")


def contents_of(spark: SparkSession, texts: list[str]) -> DataFrame:
    rows = [(sha(text), text, len(text)) for text in texts]
    return spark.createDataFrame(rows, "content_sha256 string, text string, bytes long")


def held(frame: DataFrame, step: str) -> DataFrame:
    """Holds nothing; these frames are small."""
    return frame


def hex_pairs(frame: DataFrame, left: str, right: str) -> list[tuple[str, str]]:
    return sorted((bytes(r[left]).hex(), bytes(r[right]).hex()) for r in frame.collect())


def links_of(members: DataFrame, cap: int) -> DataFrame:
    return stars.star_links(members, stars.hot_buckets(members, cap), cap)


def test_a_bucket_is_linked_as_a_star_on_its_smallest_member(spark: SparkSession) -> None:
    members = [f"{i:02x}" for i in (9, 3, 7, 5)]
    links = links_of(bucket(spark, members), cap=1000)
    assert hex_pairs(links, "hub", "sha") == [("03", "05"), ("03", "07"), ("03", "09")]
    assert links_of(bucket(spark, ["07"]), cap=1000).count() == 0


def test_a_hot_bucket_is_cut_into_stars_whose_hubs_are_linked(spark: SparkSession) -> None:
    members = [f"{i:04x}" for i in range(2000)]
    links = links_of(bucket(spark, members), cap=100)
    pairs = hex_pairs(links, "hub", "sha")
    assert len(pairs) == 1999
    stars = Counter(row.chunk for row in links.collect())
    # The hubs of 20 chunks.
    assert stars.pop(-1) == 19
    assert len(stars) == 20
    assert max(stars.values()) < 150
    assert networkx.is_connected(networkx.Graph(pairs))


def test_a_star_is_of_about_the_cap_where_that_does_not_divide_the_bucket(
    spark: SparkSession,
) -> None:
    links = links_of(bucket(spark, [f"{i:04x}" for i in range(1999)]), cap=1000)
    stars = Counter(row.chunk for row in links.collect())
    assert stars.pop(-1) == 1
    assert len(stars) == 2
    assert max(stars.values()) < 1100


def test_hot_buckets_are_reported_before_they_are_shuffled(spark: SparkSession, capsys) -> None:
    members = bucket(spark, [f"{i:02x}" for i in range(20)]).unionByName(
        bucket(spark, ["00", "01"], band=4)
    )
    stars.report_hot(stars.count_hot(stars.hot_buckets(members, 8)), 8, "find_near_pairs")
    assert (
        "1 buckets hold more than near.bucket_cap=8 members, 20 in all, the fullest 20"
        in capsys.readouterr().out
    )
    stars.report_hot(stars.count_hot(stars.hot_buckets(members, 20)), 20, "find_near_pairs")
    assert capsys.readouterr().out == ""


def test_a_very_hot_bucket_gives_one_link_per_member_and_no_large_star(
    spark: SparkSession,
) -> None:
    n, cap = 100_000, 100
    sha_of = F.unhex(F.lpad(F.hex("id"), 16, "0"))
    members = spark.range(n).select(
        sha_of.alias("sha"), F.lit(0).alias("band"), F.lit(1).cast("long").alias("key")
    )
    total, largest = (
        links_of(members, cap).groupBy("hub").count().agg(F.sum("count"), F.max("count")).first()
    )
    assert total == n - 1
    # A chunk of about 100 and, for one hub, the 1,000 hubs of all chunks.
    assert largest < 1300


def test_duplicates_of_each_other_are_found_although_both_failed_against_the_hub(
    spark: SparkSession, sets: dict[str, set[int]]
) -> None:
    """All are in one bucket. The hub is like none; the others are two families of duplicates."""
    families = sorted((sorted(map(sha, TEXTS[6 * k : 6 * k + 2])) for k in range(12)), key=min)
    hub, pairs = families[0][0], families[1:3]
    contents = contents_of(spark, TEXTS)
    links = links_of(bucket(spark, [hub, *pairs[0], *pairs[1]]), cap=1000)
    first = verify(stars.pairs_of(links), contents, NEAR, held)
    assert first.count() == 4
    assert first.filter(F.col("jaccard") >= NEAR.threshold).count() == 0

    again = stars.second_look(links, first, NEAR.threshold)
    assert again.count() == 6
    found = verify(again, contents, NEAR, held).filter(F.col("jaccard") >= NEAR.threshold).collect()
    assert sorted([row.a, row.b] for row in found) == sorted(pairs)
    assert all(row.jaccard == similarity(sets[row.a], sets[row.b]) for row in found)


def test_many_files_of_the_same_tokens_make_one_cluster_with_a_link_each(
    spark: SparkSession,
) -> None:
    texts = [f"x = 1{' ' * i}\n" for i in range(2500)]
    contents = contents_of(spark, texts)
    signature = minhash.signatures(shingle_hashes(pa.array(texts), 5), NEAR.num_perm, NEAR.seed)
    columns = {"content_sha256": list(map(sha, texts)), "signature": minhash.to_binary(signature)}
    signed = spark.createDataFrame(pa.table(columns)).withColumn("shingles", F.lit(1))
    pairs = stars.pairs_of(links_of(stars.buckets(signed, NEAR), NEAR.bucket_cap))
    rows = verify(pairs, contents, NEAR, held).collect()
    # All 25 bands have the same star.
    assert len(rows) == len(texts) - 1
    assert {(row.jaccard, row.band) for row in rows} == {(1.0, 0)}
