"""The learning rate by step."""

from __future__ import annotations

import math

import pytest

from conf.schema.pretrain import OptimConfig, ScheduleConfig
from megatron_train.training.schedule import learning_rate


def test_the_learning_rate_warms_up_holds_and_decays_to_the_minimum():
    optim = OptimConfig(lr=1.0, min_lr=0.1)
    schedule = ScheduleConfig(steps=10, warmup_steps=2, decay_steps=4)
    rates = [learning_rate(step, optim, schedule) for step in range(10)]
    decay = [0.1 + 0.9 * (1 - math.sqrt(t / 4)) for t in (1, 2, 3, 4)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0, 1.0, *decay])
    linear = ScheduleConfig(steps=10, warmup_steps=2, decay_steps=4, shape="linear")
    assert learning_rate(7, optim, linear) == pytest.approx(0.55)
    constant = ScheduleConfig(steps=10, warmup_steps=0, decay_steps=0)
    assert {learning_rate(step, optim, constant) for step in range(20)} == {1.0}
