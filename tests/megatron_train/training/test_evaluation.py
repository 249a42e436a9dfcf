"""When a run is evaluated, and figures that depend on no layout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from conf.schema.pretrain import PretrainConfig, ScheduleConfig
from megatron_train.training.evaluation import is_due, open_held_out
from tests.megatron_train import tiny

CONFIG = PretrainConfig(eval_every=3, schedule=ScheduleConfig(steps=8, warmup_steps=0))


def test_a_run_is_evaluated_every_so_many_steps_and_at_its_end():
    assert [step for step in range(1, 9) if is_due(CONFIG, step)] == [3, 6, 8]


def test_without_evaluations_nothing_is_held_out(tmp_path):
    never = replace(CONFIG, eval_every=0)
    assert not any(is_due(never, step) for step in range(1, 9))
    assert open_held_out({"tokens": None}, never, tmp_path) == {}


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """figures(processes, **layout) -> what evaluation_worker.py saw of two sources.

    Bytes for each token differ from sample to sample, so that a share is not like the whole.
    """
    run = tmp_path_factory.mktemp("figures")
    texts = [f"value_{i} = {'return ' * (i % 7)}\n" + "é€😀"[i % 3] * (i % 11) for i in range(90)]
    tiny.write_tokens(run / "a", texts, texts[:60])
    # The same training texts make the same tokenizer.
    tiny.write_tokens(run / "b", texts, texts[30:])

    def run_with(processes: int, **layout) -> dict:
        out = run / f"{'-'.join(f'{k}{v}' for k, v in layout.items()) or 'dp'}{processes}.json"
        worker = str(Path(__file__).with_name("evaluation_worker.py"))
        tiny.launch(processes, worker, str(run), str(out), json.dumps(layout))
        return json.loads(out.read_text())

    return run_with


@pytest.fixture(scope="module")
def alone(figures):
    return figures(1)


def assert_equal_figures(ours: dict, theirs: dict) -> None:
    assert ours["counts"] == theirs["counts"]
    assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-6)
    assert ours["bits_per_byte"] == pytest.approx(theirs["bits_per_byte"], abs=1e-6)
    assert ours["by_source"] == pytest.approx(theirs["by_source"], abs=1e-6)


def test_two_processes_measure_what_one_measures(figures, alone):
    assert_equal_figures(figures(2), alone)


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout", [{"tp": 2, "sequence_parallel": True}, {"pp": 2}, {"cp": 2}], ids=["tp", "pp", "cp"]
)
def test_no_layout_changes_a_figure(figures, alone, layout):
    assert_equal_figures(figures(2, **layout), alone)


@pytest.mark.slow
def test_four_processes_in_two_replicas_change_no_figure(figures, alone):
    assert_equal_figures(figures(4, tp=2), alone)
