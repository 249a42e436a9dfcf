"""Forks, vendored copies and unrelated repositories, against plain Python sets."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import Row, SparkSession

from spark_jobs import compare_repos, select_documents
from spark_jobs.runtime.context import Context, Inputs
from spark_jobs.runtime.store import Store
from tests.report import tiny
from tests.spark_jobs.near import context

LICENSED = ("fork", "tie/b")


def sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def numbered(prefix: str, count: int) -> set[str]:
    return {sha(f"{prefix}{i}") for i in range(count)}


EVERYWHERE = numbered("boilerplate", 3)
REPOS = {
    "origin": numbered("o", 40) | EVERYWHERE,
    # The same tree.
    "mirror": numbered("o", 40) | EVERYWHERE,
    "fork": numbered("o", 36) | numbered("f", 4) | EVERYWHERE,
    # Similar to the fork, less similar to the origin.
    "further": numbered("o", 32) | numbered("f", 8) | EVERYWHERE,
    # It holds the origin.
    "application": numbered("o", 38) | numbered("a", 400) | EVERYWHERE,
    "other": numbered("x", 30) | EVERYWHERE,
    "tie/a": numbered("t", 10) | EVERYWHERE,
    "tie/b": numbered("t", 10) | EVERYWHERE,
    # It lies in all others, which means nothing.
    "boilerplate alone": set(EVERYWHERE),
    "boilerplate again": set(EVERYWHERE),
}
# A content of seven repositories is common.
CAP = "near.bucket_cap=6"


def write(spark: SparkSession, output: Path) -> Context:
    ctx = context(spark, output, CAP)
    rows = [
        {"repo": repo, "revision": "1", "content_sha256": content}
        for repo, contents in REPOS.items()
        for content in sorted(contents)
    ]
    # A content at two paths counts once.
    rows.append({"repo": "origin", "revision": "1", "content_sha256": min(REPOS["origin"])})
    np.random.default_rng(1).shuffle(rows)
    tiny.write_table(output, "files", rows)
    known = [{"repo": repo, "revision": "1"} for repo in REPOS]
    licences = [{"license": "MIT" if repo in LICENSED else None} for repo in REPOS]
    tiny.write_table(output, "repos", [a | b for a, b in zip(known, licences, strict=True)])
    compare_repos.JOB.run(ctx)
    return ctx


@pytest.fixture(scope="module")
def compared(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write(spark, tmp_path_factory.mktemp("repos")).store


@pytest.fixture(scope="module")
def clusters(compared: Store) -> dict[str, Row]:
    rows = compared.read("repo_clusters").collect()
    assert len(rows) == len(REPOS)
    return {row.repo: row for row in rows}


def test_every_overlap_is_found_with_its_true_figures(compared: Store) -> None:
    found = {
        frozenset((row.repo_a, row.repo_b)): row for row in compared.read("repo_overlaps").collect()
    }
    want = {}
    for one, other in itertools.combinations(REPOS, 2):
        a, b = REPOS[one], REPOS[other]
        jaccard, containment = len(a & b) / len(a | b), len(a & b) / min(len(a), len(b))
        if containment >= 0.7 and ("boilerplate" in one) == ("boilerplate" in other):
            want[frozenset((one, other))] = (len(a & b), jaccard, containment)
    assert {pair: (row.common, row.jaccard, row.containment) for pair, row in found.items()} == want
    kinds = {pair: row.kind for pair, row in found.items()}
    assert kinds[frozenset(("origin", "mirror"))] == "exact"
    assert kinds[frozenset(("origin", "fork"))] == "near"
    assert kinds[frozenset(("origin", "application"))] == "contained"
    assert frozenset(("origin", "other")) not in kinds
    assert found[frozenset(("origin", "mirror"))].contents_a == 43


def test_copies_of_a_tree_share_its_root_hash_and_a_vendored_copy_is_not_dropped(
    clusters: dict[str, Row],
) -> None:
    tree = hashlib.sha256("\n".join(sorted(REPOS["origin"])).encode()).hexdigest()
    assert clusters["origin"].root_hash == clusters["mirror"].root_hash == tree
    assert clusters["application"].survivor
    assert clusters["application"].cluster_size == 1


def test_the_licensed_survives_and_each_is_near_the_survivor_it_joins(
    clusters: dict[str, Row],
) -> None:
    survivors = {repo for repo, row in clusters.items() if row.survivor}
    assert survivors == {"fork", "application", "other", "tie/b", "boilerplate again"}
    of_fork = clusters["fork"].cluster_id
    together = {repo for repo, row in clusters.items() if row.cluster_id == of_fork}
    assert together == {"origin", "mirror", "fork", "further"}
    assert clusters["origin"].jaccard == pytest.approx(39 / 47)
    assert all(row.jaccard >= 0.7 for row in clusters.values())


def test_each_joins_the_best_survivor_it_is_linked_to_whatever_the_order_of_links() -> None:
    """A chain a - b - c - d with a fork of a and of c: b joins a, so c survives, and d and the fork
    of both choose.
    """
    pairs = {"ab": 0.9, "bc": 0.8, "cd": 0.75, "af": 0.7, "cf": 0.95}
    place = {"a": 1, "b": 2, "c": 3, "d": 4, "f": 5}
    both = [
        (x, place[x], y, place[y], j) for (a, b), j in pairs.items() for x, y in ((a, b), (b, a))
    ]
    links = pd.DataFrame(both, columns=["a", "place", "b", "place_b", "jaccard"])
    want = {("a", "a", 1.0), ("b", "a", 0.9), ("c", "c", 1.0), ("d", "c", 0.75), ("f", "a", 0.7)}
    for seed in range(5):
        led = compare_repos._lead(links.sample(frac=1, random_state=seed))
        assert set(led.itertuples(index=False, name=None)) == want


def test_the_repository_level_variant_keeps_what_a_surviving_repository_holds(
    spark: SparkSession, compared: Store
) -> None:
    ctx = context(spark, Path(compared.root), "select.dedup=repository")
    rows = {
        r.content_sha256: r
        for r in select_documents.in_surviving_repos(
            Context(ctx.cfg, compared, Inputs(compared))
        ).collect()
    }
    kept = set().union(
        *(REPOS[repo] for repo in ("fork", "application", "other", "tie/b", "boilerplate alone"))
    )
    assert {key for key, row in rows.items() if row.survivor} == kept
    lost = {key: row for key, row in rows.items() if not row.survivor}
    assert set(lost) == REPOS["origin"] - kept | REPOS["further"] - kept
    assert {row.keeper for row in lost.values()} == {"fork 1"}
