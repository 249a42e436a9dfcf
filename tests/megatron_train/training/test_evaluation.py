"""When a run is evaluated."""

from __future__ import annotations

from dataclasses import replace

from conf.schema.pretrain import PretrainConfig, ScheduleConfig
from megatron_train.training.evaluation import is_due, open_held_out

CONFIG = PretrainConfig(eval_every=3, schedule=ScheduleConfig(steps=8, warmup_steps=0))


def test_a_run_is_evaluated_every_so_many_steps_and_at_its_end():
    assert [step for step in range(1, 9) if is_due(CONFIG, step)] == [3, 6, 8]


def test_without_evaluations_nothing_is_held_out(tmp_path):
    never = replace(CONFIG, eval_every=0)
    assert not any(is_due(never, step) for step in range(1, 9))
    assert open_held_out({"tokens": None}, never, tmp_path) == {}
