"""A run with nothing to do asks the logs alone: it starts no engine and reads no row."""

from __future__ import annotations

import pytest

from conf.loader import load
from conf.schema.curate import CurateConfig
from spark_jobs import graph
from spark_jobs.runtime import session
from tests import corpus


def config(source, output, *more):
    return load(CurateConfig, None, [*corpus.settings(source, output), *more])


@pytest.fixture
def no_engine(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("an engine was asked")

    monkeypatch.setattr(session, "start", refuse)


def test_a_second_run_starts_no_engine(curated, no_engine, capsys):
    assert graph.run(config(*curated), graph.JOBS) == 0
    assert capsys.readouterr().out.count("up to date") == len(graph.JOBS)


@pytest.mark.parametrize(
    ("changed", "job"),
    [
        ("near.threshold=0.8", "find_near_pairs"),
        ("score.scope=survivors", "score_quality"),
        ("score.max_gold_shift=0.5", "score_quality"),
        ("decontaminate.benchmarks=[]", "decontaminate"),
        ("select.drop_lowest=0.2", "select_documents"),
        ("tokens.fim_rate=0.1", "pack_tokens"),
    ],
)
def test_a_setting_that_matters_is_no_reason_to_stay_idle(curated, no_engine, changed, job):
    with pytest.raises(AssertionError, match="an engine was asked"):
        graph.run(config(*curated, changed), (job,))
