"""The check of drift: a new scorer or engine scores the gold set first.

One whose scores differ too much scores nothing else.
"""

from __future__ import annotations

import json

import pytest
from pyspark.sql import functions as F

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.curate import CurateConfig
from spark_jobs import fit_scorer, score_quality
from spark_jobs.quality import drift, scorers
from spark_jobs.runtime.context import Context, Inputs
from spark_jobs.runtime.job import execute
from spark_jobs.runtime.store import Store
from tests.report import tiny
from tests.spark_jobs.test_score_quality import GOOD

TEXTS = [f"{GOOD}\n\nLIMIT = {n}  # of the length of a queue\n" for n in range(8)]


@pytest.fixture
def run(spark, tmp_path):
    """Eight contents, and labels of 5 for the first six.

    Returns cfg(*overrides), the store, and use(name, added quality), which sets the scorer.
    """
    store = Store(lambda: spark, str(tmp_path))
    keys = [{"content_sha256": f"{n}" * 64, "shard": 0} for n in range(len(TEXTS))]
    contents = [
        {**key, "text": text, "bytes": len(text), "language": "Python"}
        for key, text in zip(keys, TEXTS, strict=True)
    ]
    tiny.write_table(tmp_path, "contents", contents)
    rating = {"oracle": "seedbed-labels-v1", "score": 5.0, "zero_reason": ""}
    tiny.write_table(tmp_path, "labels", [key | rating for key in keys[:6]])

    def use(name, added):
        card = json.loads(fit_scorer.SHIPPED.read_text())
        card["model"]["intercept"][1] += added
        folder = tmp_path / "scorers" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scorer.json").write_text(json.dumps({**card, "version": name}))
        (tmp_path / scorers.POINTER).write_text(json.dumps({"version": name}))

    use("structural-a", 0.0)
    return (
        lambda *o: load(CurateConfig, None, [f"output={tmp_path}", "shards=1", "score.gold=4", *o]),
        store,
        use,
    )


def gold(store):
    """Scorer -> its rows of gold_scores, in order of hash."""
    rows = store.read("gold_scores").orderBy("content_sha256").collect()
    return {
        scorer: [row for row in rows if row["scorer"] == scorer]
        for scorer in {row["scorer"] for row in rows}
    }


def test_a_new_version_scores_the_gold_set_first_and_stands_beside_the_one_before_it(run):
    cfg, store, use = run
    first = execute(score_quality.JOB, cfg()).notes["gold"]
    assert (first["files"], first["previous"], first["mean_shift"]) == (4, None, None)
    use("structural-b", 0.1)
    second = execute(score_quality.JOB, cfg()).notes["gold"]
    assert second["previous"] == "structural-a on built in"
    assert second["mean_shift"] == second["max_shift"] == pytest.approx(0.1, abs=1e-3)
    found = gold(store)
    assert [row["previous_quality"] for row in found["structural-b"]] == [
        row["quality"] for row in found["structural-a"]
    ]
    assert {row["content_sha256"][0] for row in found["structural-b"]} == set("0123")
    assert second["mae"] == pytest.approx(
        sum(abs(10 * row["quality"] - 5) for row in found["structural-b"]) / 4, abs=1e-3
    )
    scores = (
        store.read("scores")
        .filter("scorer = 'structural-b' and content_sha256 < '4'")
        .orderBy("content_sha256")
    )
    assert [row["quality"] for row in scores.collect()] == [
        row["quality"] for row in found["structural-b"]
    ]
    assert execute(score_quality.JOB, cfg()) is None
    assert store.read("gold_scores").count() == 8


@pytest.mark.slow
def test_a_version_that_moves_the_gold_set_too_far_is_refused_in_every_run_by_both_names(
    run,
):
    cfg, store, use = run
    execute(score_quality.JOB, cfg())
    use("structural-far", -0.3)
    for _ in range(2):
        with pytest.raises(SeedbedError) as error:
            execute(score_quality.JOB, cfg())
        assert (
            "structural-far on built in moves the 4 gold files by 0.3000 on the mean"
            in error.value.problem
        )
        assert "structural-a on built in" in error.value.problem
    assert {row["scorer"] for row in store.read("scores").collect()} == {"structural-a"}
    # The next version is not compared with the refused one.
    use("structural-near", 0.05)
    assert execute(score_quality.JOB, cfg()).notes["gold"]["previous"] == "structural-a on built in"
    use("structural-far", -0.3)
    assert execute(score_quality.JOB, cfg("score.max_gold_shift=0.5")).rows_out == 8


@pytest.mark.slow
def test_the_same_scorer_on_another_engine_may_move_no_file_far(run):
    cfg, store, _ = run
    execute(score_quality.JOB, cfg())

    def moved(by):
        def score(rows, ctx):
            first = F.when(F.col("content_sha256") == "0" * 64, by).otherwise(0.0)
            theirs = store.read("scores").select("content_sha256", "quality")
            rows = rows.join(theirs, "content_sha256").withColumn(
                "quality", F.col("quality") + first
            )
            return rows.select("content_sha256", "scorer", "quality", "shard")

        return score

    def guard(engine, by):
        ctx = Context(cfg(), store, Inputs(store))
        return drift.guard(ctx, drift.Version("structural-a", engine, "structural"), moved(by))

    assert guard("engine-2", 0.01)["max_shift"] == pytest.approx(0.01)
    with pytest.raises(
        SeedbedError,
        match=r"structural-a on engine-3 moves .* structural-a on built in .*max_engine_shift",
    ):
        # That is 0.0125 on the mean.
        guard("engine-3", 0.05)


def test_without_rated_contents_there_is_nothing_to_hold_a_scorer_to(run):
    cfg, store, _ = run
    assert execute(score_quality.JOB, cfg("labels.oracle=nobody")).notes["gold"] == {}
    assert not store.exists("gold_scores")
