"""Selection: the first reason of a content, the quality cut, the split, and the job."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.curate import CurateConfig, SelectSettings
from seedbed import benchmarks
from spark_jobs import select_documents
from spark_jobs.documents import validation_split
from spark_jobs.runtime.context import Context, Inputs
from spark_jobs.runtime.job import Summary, execute
from spark_jobs.runtime.store import TABLES, Store
from spark_jobs.select_documents import JOB, decisions, quality_cuts
from tests.verdict_rows import FAULTS, GOOD, POLICY, VERDICTS, faulty


def decide(
    spark: SparkSession, rows: list[dict[str, Any]], policy: SelectSettings = POLICY
) -> dict[str, Row]:
    columns = [
        field.split()[0] for field in VERDICTS.split(", ") if ":" not in field or "struct<" in field
    ]
    data = [tuple({**GOOD, **row}[name] for name in columns) for row in rows]
    frame = spark.createDataFrame(data, VERDICTS).repartition(3)
    return {row.content_sha256: row for row in decisions(frame, policy).collect()}


def test_the_first_rule_that_holds_is_the_reason_and_its_figures_are_the_detail(
    spark: SparkSession,
) -> None:
    rows = faulty()
    found = decide(spark, rows, POLICY)
    assert [
        (found[f"fault-{i}"].reason, found[f"fault-{i}"].detail) for i in range(len(FAULTS))
    ] == [(reason, detail) for reason, _, detail in FAULTS]
    assert all(
        found[f"good-{i}"].reason is None and found[f"good-{i}"].detail is None for i in range(5)
    )
    assert len(found) == len(rows)


@pytest.mark.parametrize(
    ("status", "share", "reason"),
    [
        ("ok", 0.02, None),
        ("ok", 0.0201, "syntax"),
        ("timeout", None, "syntax"),
        ("failed", None, "syntax"),
        ("no_parser", None, None),
    ],
)
def test_a_language_without_a_parser_passes_and_a_parser_that_gave_up_does_not(
    spark: SparkSession, status: str, share: float | None, reason: str | None
) -> None:
    found = decide(spark, [{"content_sha256": "a", "status": status, "error_share": share}])
    assert found["a"].reason == reason
    assert (
        found["a"].detail == {"ok": "error share 0.0201 > 0.02"}.get(status, f"parser {status}")
        or reason is None
    )


def test_the_cut_drops_exactly_the_lowest_share_whatever_ties_there_are(
    spark: SparkSession,
) -> None:
    draw = random.Random(0)
    rows = [
        (draw.choice([0.0, 0.25, 0.2500001, 0.3, 1.0]), hashlib.sha256(str(i).encode()).hexdigest())
        for i in range(97)
    ]
    languages = [draw.choice(["Python", "C", None]) for _ in rows]
    data = [(*row, language) for row, language in zip(rows, languages, strict=True)]
    frame = spark.createDataFrame(
        data, "quality double, content_sha256 string, language string"
    ).repartition(5)

    def lowest(chosen: list[tuple[float, str]], share: float) -> list[tuple[float, str]]:
        return sorted(chosen)[: int(share * len(chosen))][-1:]

    for share in (0.01, 0.1, 0.5, 1.0):
        assert list(quality_cuts(frame, SelectSettings(drop_lowest=share)).items()) == [
            ("", cut) for cut in lowest(rows, share)
        ]
        found = quality_cuts(frame, SelectSettings(drop_lowest=share, cut_per="language"))
        expected = {
            name or "": cut
            for name in ("Python", "C", None)
            for cut in lowest(
                [row for row, language in zip(rows, languages, strict=True) if language == name],
                share,
            )
        }
        assert found == expected


def test_thresholds_drop_what_lies_below_them_and_say_by_how_much(spark: SparkSession) -> None:
    rows = [
        {"content_sha256": f"{q}-{name}", "quality": q, "language": name}
        for q in (0.2, 0.5)
        for name in ("C", "Go")
    ]
    policy = SelectSettings(drop_lowest=0, min_quality=0.3, min_quality_of={"Go": 0.6, "C": 0.1})
    found = decide(
        spark, [*rows, {"content_sha256": "other", "quality": 0.2, "language": None}], policy
    )
    assert {sha: row.detail for sha, row in found.items() if row.reason == "low_quality"} == {
        "0.2-Go": "quality 0.2000 < 0.6000",
        "0.5-Go": "quality 0.5000 < 0.6000",
        "other": "quality 0.2000 < 0.3000",
    }


def test_the_cut_is_taken_over_survivors_with_good_syntax_only(spark: SparkSession) -> None:
    worse = [{"content_sha256": f"dup-{i}", "survivor": False, "quality": 0.01} for i in range(50)]
    broken = [
        {"content_sha256": f"bad-{i}", "status": "timeout", "quality": 0.02} for i in range(50)
    ]
    good = [{"content_sha256": f"good-{i}", "quality": 0.3 + i / 100} for i in range(20)]
    found = decide(spark, worse + broken + good)
    assert sorted(sha for sha, row in found.items() if row.reason == "low_quality") == [
        "good-0",
        "good-1",
    ]


def test_validation_repositories_are_drawn_by_hash_near_the_goal() -> None:
    draw = random.Random(1)
    for trial in range(200):
        sizes = {
            f"repo-{i}": draw.choice([0, 1, 10, 100, 1000]) for i in range(draw.randrange(2, 30))
        }
        goal = draw.choice([0.02, 0.1, 0.3]) * sum(sizes.values())
        chosen = validation_split.validation_repos(sizes, goal, trial)
        shuffled = dict(draw.sample(list(sizes.items()), len(sizes)))
        assert chosen == validation_split.validation_repos(shuffled, goal, trial)
        assert len(chosen) < len(sizes)
        assert bool(chosen) == bool(goal)
        total = sum(sizes[repo] for repo in chosen)
        assert all(sizes[repo] for repo in chosen)
        assert total <= validation_split.OVERSHOOT * goal or len(chosen) == 1


def test_a_repository_far_beyond_the_goal_is_passed_over() -> None:
    sizes = {"huge": 10_000, "small": 150, "other": 120}
    for seed in range(20):
        assert "huge" not in validation_split.validation_repos(sizes, 200, seed)
    assert validation_split.validation_repos({"huge": 10_000, "larger": 20_000}, 200, 1) == ["huge"]


def test_without_a_goal_nothing_validates() -> None:
    assert validation_split.validation_repos({"a": 5, "b": 5}, 0, 1) == []


def test_contents_shared_with_a_training_repository_train(spark: SparkSession) -> None:
    copies = [(f"{repo}-{i}", repo, 100) for repo in ("a", "b", "c") for i in range(10)]
    copies += [("shared", repo, 100) for repo in ("a", "b", "c")]
    frame = spark.createDataFrame(copies, "content_sha256 string, repo string, bytes long")
    rows = validation_split.assign(frame, 0.3, 1).collect()
    split_of = {row.repo: row.split for row in rows}
    assert sorted(split_of.values()) == ["train", "train", "val"]
    # the job takes the least: train
    assert all(row.split == split_of[row.repo] for row in rows)


def test_one_repository_is_split_by_content_and_says_so(
    spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(hashlib.sha256(str(i).encode()).hexdigest(), "only", 100) for i in range(300)]
    frame = spark.createDataFrame(rows, "content_sha256 string, repo string, bytes long")
    share = validation_split.assign(frame, 0.2, 1).filter("split = 'val'").count() / 300
    assert 0.12 < share < 0.28
    assert "one repository only" in capsys.readouterr().err
    assert validation_split.assign(frame.limit(3), 0.001, 1).filter("split = 'val'").count() == 1


# ---- the job over its tables

REPOS = {"alpha": 6, "beta": 5, "gamma": 4}


def sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@pytest.fixture(scope="module")
def store(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """15 contents in three repositories; alpha/0 also occurs in beta, alpha/1 is GPL, alpha/2 a
    near duplicate of alpha/3.
    """
    names = [f"{repo}/{i}" for repo, count in REPOS.items() for i in range(count)]
    store = Store(lambda: spark, str(tmp_path_factory.mktemp("select")))
    benchmark = benchmarks.identity("humaneval")
    license_of = {"alpha/1": "GPL-3.0-only"}
    files = [
        (
            sha(f"doc {n}"),
            "archives",
            n.split("/")[0],
            "1.0",
            f"{n}.py",
            "Python",
            license_of.get(n, "MIT"),
            100,
            sha(n),
            None,
        )
        for n in names
    ]
    files.append(
        (
            sha("doc copy"),
            "archives",
            "beta",
            "1.0",
            "copy.py",
            "Python",
            None,
            100,
            sha("alpha/0"),
            None,
        )
    )
    files.append(
        (
            sha("doc big"),
            "archives",
            "beta",
            "1.0",
            "big.py",
            "Python",
            "GPL-3.0-only",
            9,
            None,
            "too_large",
        )
    )
    keeper = min(sha("alpha/2"), sha("alpha/3"))
    pair = {sha("alpha/2"), sha("alpha/3")}
    rows: dict[str, list[tuple[Any, ...]]] = {
        "files": files,
        "contents": [(sha(n), f"text of {n}", 100, "Python", 0) for n in names],
        "clusters": [
            (sha(n), cluster, 1 + (sha(n) in pair), n != "alpha/2", 1.0, cluster, 0)
            for n in names
            for cluster in [keeper if sha(n) in pair else sha(n)]
        ],
        "syntax": [(sha(n), "python", "ok", False, 0.0, 1, 1, 0.1, 5, 20, 10.0, 0) for n in names],
        "scores": [
            (sha(n), scorer, (i + 1) / 20, 0)
            for i, n in enumerate(names)
            for scorer in ("s1", "other")
        ],
        "contamination": [
            (sha(n), benchmark, *(("HumanEval/9", "a b") if n == "gamma/3" else (None, None)), 0)
            for n in names
        ],
    }
    for table, data in rows.items():
        store.overwrite(
            table, spark.createDataFrame(data, TABLES[table].schema).repartition(2), {"test": table}
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(select_documents, "resolve_version", lambda cfg, store: "s1")
        yield store


def config(store: Store, *overrides: str) -> CurateConfig:
    base = [
        f"output={store.root}",
        "select.licenses_denied=[gpl-3.0-only]",
        "select.val_fraction=0.2",
    ]
    return load(CurateConfig, None, [*base, *overrides])


def run(store: Store, *overrides: str) -> Summary | None:
    return execute(JOB, config(store, *overrides))


def test_every_content_is_a_document_or_has_its_reason(store: Store) -> None:
    summary = run(store)
    assert summary is not None
    assert (summary.rows_in, summary.rows_out) == (15, 11)
    assert summary.dropped == {
        "duplicate_near": 1,
        "low_quality": 1,
        "contaminated": 1,
        "license": 1,
    }
    reasons = {row.content_sha256: row.reason for row in store.read("decisions").collect()}
    assert len(reasons) == 15
    assert {
        n: reasons[sha(n)] for n in ("alpha/0", "alpha/1", "alpha/2", "alpha/3", "gamma/3")
    } == {
        "alpha/0": "low_quality",
        "alpha/1": "license",
        "alpha/2": "duplicate_near",
        "alpha/3": None,
        "gamma/3": "contaminated",
    }
    documents = store.read("documents").collect()
    assert {d.parts[0].content_sha256 for d in documents} == {
        s for s, reason in reasons.items() if reason is None
    }
    by_path = {d.parts[0].path: d for d in documents}
    beta = by_path["beta/2.py"]
    assert beta.document_id == hashlib.sha256(b"file\0" + sha("beta/2").encode()).hexdigest()
    assert (beta.category, beta.repo, beta.license, beta.language, beta.bytes, beta.epochs) == (
        "file",
        "beta",
        "MIT",
        "Python",
        100,
        1,
    )
    # of scorer s1
    assert beta.quality == pytest.approx(9 / 20)
    split_of = {(d.repo, d.split) for d in documents}
    # a repository is on one side only
    assert len({repo for repo, _ in split_of}) == len(split_of)
    assert {split for _, split in split_of} == {"train", "val"}

    # nothing changed
    assert run(store) is None

    retuned = run(store, "select.drop_lowest=0.0", "select.epochs=3")
    assert retuned is not None
    assert retuned.rows_out == 12
    epochs = {(d.split, d.epochs) for d in store.read("documents").collect()}
    assert epochs == {("train", 3), ("val", 1)}


@pytest.mark.parametrize("table", ["clusters", "syntax", "scores", "contamination"])
def test_a_missing_verdict_is_told_with_its_table_and_job(store: Store, table: str) -> None:
    context = Context(config(store), store, Inputs(store))
    verdicts = select_documents.verdict_rows(context)
    holes = {"clusters": "survivor", "syntax": "status", "scores": "quality"}
    if table == "contamination":
        verdicts = verdicts.replace(1, 0, ["benchmarks"])
    else:
        verdicts = verdicts.drop(holes[table]).selectExpr(
            "*", f"cast(null as string) as {holes[table]}"
        )
    with pytest.raises(SeedbedError, match=f"15 of 15 contents have no row in table {table}"):
        select_documents.refuse_missing(verdicts, context)


def test_each_of_two_benchmarks_must_have_been_looked_at(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text(json.dumps({"task_id": "m/1", "code": "def f(): pass"}))
    both = config(store, f"decontaminate.benchmarks=[humaneval,{mine}]")
    context = Context(both, store, Inputs(store))
    with pytest.raises(SeedbedError, match="15 of 15 contents have no row in table contamination"):
        select_documents.refuse_missing(select_documents.verdict_rows(context), context)


def test_duplicates_need_no_score_when_only_survivors_are_scored(store: Store) -> None:
    context = Context(config(store, "score.scope=survivors"), store, Inputs(store))
    verdicts = select_documents.verdict_rows(context).withColumn(
        "quality", F.expr("if(survivor, quality, null)")
    )
    select_documents.refuse_missing(verdicts, context)
    with pytest.raises(
        SeedbedError, match="1 of 15 contents have no row in table scores by scorer s1"
    ):
        select_documents.refuse_missing(verdicts, Context(config(store), store, Inputs(store)))


@pytest.mark.slow
def test_the_repository_level_variant_drops_what_only_dropped_repositories_hold(
    store: Store,
) -> None:
    """beta is a copy of alpha; alpha/0, which it holds too, stays with it."""
    rows = [
        (repo, "1.0", repo, 5, "c" if repo != "gamma" else "g", 2, repo != "beta", 1.0)
        for repo in REPOS
    ]
    store.overwrite(
        "repo_clusters", store.spark.createDataFrame(rows, TABLES["repo_clusters"].schema), {}
    )
    context = Context(config(store, "select.dedup=repository"), store, Inputs(store))
    verdicts = select_documents.verdict_rows(context)
    select_documents.refuse_missing(verdicts, context)
    decided = {row.content_sha256: row for row in decisions(verdicts, context.cfg.select).collect()}
    dropped = {key for key, row in decided.items() if row.reason == "duplicate_repository"}
    assert dropped == {sha(f"beta/{i}") for i in range(REPOS["beta"])}
    assert decided[sha("beta/0")].detail == "cluster of its repositories keeps alpha 1.0"
    # file-level copies stay inside a repository
    assert decided[sha("alpha/2")].reason != "duplicate_near"


def test_rows_that_do_not_add_up_stop_the_run(store: Store) -> None:
    context = Context(config(store), store, Inputs(store))
    store.overwrite(
        "decisions",
        store.read("contents").selectExpr(
            "content_sha256", "null AS reason", "null AS detail", "shard"
        ),
        {},
    )
    store.overwrite("documents", store.read_or_empty("documents").limit(0), {})
    with pytest.raises(AssertionError, match="15 contents in, but 0 documents"):
        select_documents.summarize(context)
