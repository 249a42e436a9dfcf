"""The learning rate of every step against a list that is built step by step."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.schema.pretrain import OptimConfig, ScheduleConfig
from megatron_train.training.schedule import learning_rate


def plain(optim: OptimConfig, schedule: ScheduleConfig) -> list[float]:
    """The rates of all steps: a rise, a plateau, a decay, put one behind the other."""
    rise = [optim.lr * (n + 1) / schedule.warmup_steps for n in range(schedule.warmup_steps)]
    held = schedule.steps - schedule.warmup_steps - schedule.decay_steps
    fall = []
    for n in range(1, schedule.decay_steps + 1):
        gone = n / schedule.decay_steps
        share = math.sqrt(gone) if schedule.shape == "1-sqrt" else gone
        fall.append(optim.lr * (1 - share) + optim.min_lr * share)
    return [*rise, *([optim.lr] * held), *fall]


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.floats(1e-6, 1.0),
    st.floats(0.0, 1.0),
    st.sampled_from(["1-sqrt", "linear"]),
)
def test_every_step_has_the_rate_of_the_list(warmup, held, decay, lr, least, shape):
    optim = OptimConfig(lr=lr, min_lr=lr * least)
    schedule = ScheduleConfig("wsd", warmup + held + decay, warmup, decay, shape)
    schedule.check()
    found = [learning_rate(step, optim, schedule) for step in range(schedule.steps)]
    assert found == pytest.approx(plain(optim, schedule), rel=1e-9, abs=1e-15)
    # A step behind the last has the last one's rate, or the plateau's where nothing decays.
    behind = optim.min_lr if decay else optim.lr
    assert learning_rate(schedule.steps + 3, optim, schedule) == pytest.approx(behind)
