"""The rows of find_near_pairs against an oracle in plain Python, over drawn corpora.

However the contents are divided among bins, whole components or pairs, the rows are the same.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from seedbed.kernels.near_dup import minhash
from seedbed.kernels.near_dup.shingles import shingle_hashes
from spark_jobs import find_near_pairs, sign_contents
from spark_jobs.near_dup import bins, one_pass
from tests.seedbed.kernels.near_dup.plain_stars import plain_first_look, plain_second_look
from tests.spark_jobs.near import NEAR, context, sha, similarity, write_inputs

Rows = set[tuple[str, str, int, float, float]]


def drawn(seed: int) -> list[str]:
    """Texts whose neighbours are near the threshold on both sides, so that many pairs fail."""
    draw = np.random.default_rng(seed)
    texts = {"()", "import os", "import  os"}
    for family in range(int(draw.integers(3, 8))):
        words = [f"w{family}_{i}" for i in draw.integers(0, 900, int(draw.integers(60, 250)))]
        for _ in range(int(draw.integers(1, 25))):
            edited = list(words)
            for place in draw.integers(0, len(words), int(draw.integers(0, len(words) // 10))):
                edited[place] = f"edit{draw.integers(10**9)}"
            texts.add(" ".join(edited))
            words = edited if draw.random() < 0.4 else words
    return sorted(texts)


def oracle(texts: list[str]) -> Rows:
    """All rows of near_edges and near_misses."""
    texts = sorted(texts, key=sha)
    hashes = shingle_hashes(pa.array(texts), NEAR.shingle)
    texts = [text for text, count in zip(texts, hashes.counts, strict=True) if count]
    hashes = shingle_hashes(pa.array(texts), NEAR.shingle)
    sets = [set(hashes.values[a:b].tolist()) for a, b in itertools.pairwise(hashes.offsets)]
    signature = minhash.signatures(hashes, NEAR.num_perm, NEAR.seed)
    keys = minhash.band_keys(signature, NEAR.bands, NEAR.rows).tolist()
    first = plain_first_look(keys)
    failed = {(a, b) for a, b in first if similarity(sets[a], sets[b]) < NEAR.threshold}
    rows = set()
    for (a, b), band in (first | plain_second_look(keys, first, failed)).items():
        estimate = float(np.mean(signature[a] == signature[b]))
        rows.add((sha(texts[a]), sha(texts[b]), band, estimate, similarity(sets[a], sets[b])))
    return rows


def found(
    spark: SparkSession, output: Path, texts: list[str], partitions: int, *overrides: str
) -> Rows:
    spark.conf.set("spark.sql.shuffle.partitions", str(partitions))
    ctx = context(spark, output)
    write_inputs(ctx.store, texts, seed=partitions, parts=partitions)
    sign_contents.JOB.run(ctx)
    find_near_pairs.JOB.run(context(spark, output, *overrides))
    tables = {table: ctx.store.read(table).collect() for table in ("near_misses", "near_edges")}
    assert all(row.jaccard < NEAR.threshold for row in tables["near_misses"])
    assert all(row.jaccard >= NEAR.threshold for row in tables["near_edges"])
    rows = [tuple(row) for table in tables.values() for row in table]
    assert len(set(rows)) == len(rows)
    return set(rows)


@pytest.mark.parametrize(
    ("seed", "partitions", "bin_bytes", "most", "driver_edges"),
    [
        # Whole components, one bin; many bins; every pair by itself; some components whole.
        (1, 1, bins.BIN, one_pass.MOST, 10**7),
        (2, 3, 5_000, one_pass.MOST, 100),
        (5, 7, 5_000, 0, 10**7),
        (4, 3, 20_000, 25_000, 0),
    ],
    ids=["one bin", "many bins", "pairs", "both, components in rounds"],
)
def test_the_rows_are_those_of_comparing_by_the_rules(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    partitions: int,
    bin_bytes: int,
    most: int,
    driver_edges: int,
) -> None:
    monkeypatch.setattr(bins, "BIN", bin_bytes)
    monkeypatch.setattr(bins, "PER_WINDOW", 3 * bin_bytes)
    monkeypatch.setattr(one_pass, "MOST", most)
    before = spark.conf.get("spark.sql.shuffle.partitions")
    texts = drawn(seed)
    want = oracle(texts)
    try:
        edges = f"near.driver_edges={driver_edges}"
        assert found(spark, tmp_path, texts, partitions, edges) == want
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)
    assert 10 < sum(row[4] < NEAR.threshold for row in want) < len(want) - 10


def test_no_bin_holds_more_than_it_may(spark: SparkSession) -> None:
    draw = np.random.default_rng(3)
    costs = draw.integers(1, bins.BIN // 3, 500).tolist()
    costs[7] = one_pass.MOST
    items = spark.createDataFrame(
        [(f"{i:04x}", cost) for i, cost in enumerate(costs)], "component_id string, cost long"
    )
    rows = bins.with_bin(items, ["component_id"]).rows.collect()
    assert sorted(row.cost for row in rows) == sorted(costs)
    held: dict[int, list[int]] = {}
    for row in sorted(rows, key=lambda row: row.component_id):
        held.setdefault(row.bin, []).append(row.cost)
    assert all(sum(these[:-1]) < bins.BIN for these in held.values())
    assert len(held) < 2 * sum(costs) / bins.BIN


def test_components_with_hot_buckets_are_compared_by_the_rules_of_cut_stars(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All ways of comparing give the same rows, although some stars are cut."""
    texts = drawn(5)
    uncut = oracle(texts)
    rows = []
    for most, edges in ((one_pass.MOST, 10**7), (one_pass.MOST, 0), (0, 10**7)):
        monkeypatch.setattr(one_pass, "MOST", most)
        overrides = ("near.bucket_cap=6", f"near.driver_edges={edges}")
        rows.append(found(spark, tmp_path / str(len(rows)), texts, 2, *overrides))
    assert rows[0] == rows[1] == rows[2] != uncut


def test_a_bin_ends_where_the_next_begins(
    spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """No task holds all of its bins: Sail streams sorted groups, and Spark shuffles once."""

    def sizes(table: pa.Table) -> pa.Table:
        return pa.table({"bin": table["bin"][:1], "size": pa.array([len(table)])})

    frame = spark.range(40).selectExpr("id % 7 as bin", "cast(id as string) as text")
    rows = bins.apply_to_bins(bins.Binned(frame, 3), sizes, "bin long, size long")
    rows.explain()
    plan = capsys.readouterr().out
    on_sail = "AggregateExec" in plan
    streams = "ordering_mode=Sorted" in plan and "mode=Partial" not in plan
    assert streams if on_sail else plan.count("Exchange") == 1
    assert sorted(map(tuple, rows.collect())) == [(i, 6 if i < 5 else 5) for i in range(7)]
