"""Contents that come and go in rounds against one run over what is there, over drawn corpora."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from seedbed.queries.certify import hashes
from spark_jobs import cluster_near_dups, find_near_pairs, sign_contents
from spark_jobs.runtime.store import Store
from tests.report import tiny
from tests.spark_jobs.near import context, sha, write_inputs
from tests.spark_jobs.near_dup.test_one_pass import drawn

TABLES = ("signatures", "near_misses", "near_edges", "clusters")


def write_run(store: Store, texts: list[str], stars: dict[str, int], seed: int) -> None:
    """The inputs of near dedup; each text is in a repository of its own with its number of stars.

    Some repositories are unknown, and some files have a licence.
    """
    write_inputs(store, texts, seed, parts=2)
    rows = [(sha(text), stars[text]) for text in texts]
    tiny.write_table(
        Path(store.root),
        "files",
        [
            {"content_sha256": key, "repo": key, "revision": "1", "license": "MIT"}
            if count % 7 == 3
            else {"content_sha256": key, "repo": key, "revision": "1"}
            for key, count in rows
        ],
    )
    tiny.write_table(
        Path(store.root),
        "repos",
        [{"repo": key, "revision": "1", "stars": count} for key, count in rows if count % 5],
    )


def run(spark: SparkSession, output: Path, *overrides: str) -> dict[str, Any]:
    """The notes of find_near_pairs."""
    sign_contents.JOB.run(context(spark, output, *overrides))
    found = find_near_pairs.JOB.run(context(spark, output, *overrides))
    cluster_near_dups.JOB.run(context(spark, output, *overrides))
    return found.notes if found else {}


@pytest.mark.long_on_jvm
@pytest.mark.parametrize(
    ("seed", "overrides"),
    [
        (1, ()),
        pytest.param(
            5,
            ("near.driver_edges=0", "near.component_cap=4", "near.bucket_cap=6"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["on the driver", "on the engine, with cuts"],
)
def test_rounds_of_contents_that_come_and_go_give_the_tables_of_one_run(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    overrides: tuple[str, ...],
) -> None:
    draw = np.random.default_rng(seed)
    texts = sorted({*drawn(seed), *drawn(seed + 100)})
    every = draw.permutation(np.array(texts, object)).tolist()
    stars = {text: int(draw.integers(40)) for text in every}
    edges: list[tuple[int, int]] = []
    clustered = cluster_near_dups.clustered

    def counted(frame: Any, since: dict[str, int], ctx: Any, materialize: Any) -> Any:
        if since:
            edges.append((frame.count(), ctx.inputs["near_edges"].count()))
        return clustered(frame, since, ctx, materialize)

    monkeypatch.setattr(cluster_near_dups, "clustered", counted)
    few = max(2, len(every) // 30)
    there = every[: -3 * few]
    rounds = [
        ("first", there),
        ("some come", every[: -2 * few]),
        ("some go", every[few : -2 * few]),
        ("both", every[3 * few : -few]),
    ]
    store = context(spark, tmp_path / "rounds").store
    for number, (name, texts) in enumerate(rounds):
        if number:
            for text in draw.choice(np.array(texts, object), 2, replace=False):
                stars[text] = int(draw.integers(100, 140))
        write_run(store, texts, stars, seed=number)
        notes = run(spark, tmp_path / "rounds", *overrides)
        whole = context(spark, tmp_path / name).store
        write_run(whole, texts, stars, seed=number + 10)
        run(spark, tmp_path / name, *overrides)
        assert hashes(store.root, TABLES) == hashes(whole.root, TABLES), name
        if number:
            assert notes["pairs_verified"] < notes["pairs"] / 2, name
    # Most edges were of components that stayed as they were.
    assert len(edges) == len(rounds) - 1
    assert all(0 < some < most for some, most in edges), edges


@pytest.mark.parametrize(
    ("table", "overrides"),
    [
        pytest.param("near_edges", (), marks=pytest.mark.long_on_jvm),
        ("clusters", ()),
        pytest.param("", ("near.component_cap=3",), marks=pytest.mark.long_on_jvm),
    ],
    ids=["killed before near_edges", "killed before clusters", "other settings"],
)
def test_a_round_after_a_kill_or_with_other_settings_gives_the_tables_of_one_run(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    overrides: tuple[str, ...],
) -> None:
    """The run dies before it writes `table`; another content has come when the next one starts."""
    texts = drawn(2)
    stars = {text: len(text) % 13 for text in texts}
    rounds, whole = (context(spark, tmp_path / name).store for name in ("rounds", "whole"))
    write_run(rounds, texts[5:], stars, seed=1)
    run(spark, tmp_path / "rounds")
    written = Store.overwrite

    def dies(self: Store, name: str, *rows: Any) -> int:
        if name == table:
            raise KeyboardInterrupt
        return written(self, name, *rows)

    write_run(rounds, texts[1:], stars, seed=2)
    if table:
        with monkeypatch.context() as patch:
            patch.setattr(Store, "overwrite", dies)
            with pytest.raises(KeyboardInterrupt):
                run(spark, tmp_path / "rounds")
    write_run(rounds, texts[:-1], stars, seed=3)
    run(spark, tmp_path / "rounds", *overrides)
    write_run(whole, texts[:-1], stars, seed=4)
    run(spark, tmp_path / "whole", *overrides)
    assert hashes(rounds.root, TABLES) == hashes(whole.root, TABLES)
