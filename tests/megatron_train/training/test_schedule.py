"""The learning rate by step."""

from __future__ import annotations

import math

import pytest

from conf.errors import SeedbedError
from conf.schema.batch import RampConfig, RampedBatchConfig
from conf.schema.pretrain import OptimConfig, ScheduleConfig
from megatron_train.training.schedule import last_rate, learning_rate


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


def test_the_rate_stays_at_the_minimum_after_the_last_step_and_rises_from_its_first():
    optim = OptimConfig(lr=0.4, min_lr=0.1)
    schedule = ScheduleConfig(steps=6, warmup_steps=3, decay_steps=2, shape="linear")
    rates = [learning_rate(step, optim, schedule) for step in range(9)]
    assert rates == pytest.approx([0.4 / 3, 0.8 / 3, 0.4, 0.4, 0.25, 0.1, 0.1, 0.1, 0.1])


def rates(kind: str, steps: int, warmup: int, more: int = 0, **optim) -> list[float]:
    schedule = ScheduleConfig(kind=kind, steps=steps, warmup_steps=warmup)
    schedule.check()
    return [learning_rate(step, OptimConfig(**optim), schedule) for step in range(steps + more)]


def test_a_cosine_falls_from_the_end_of_warm_up_to_the_minimum():
    found = rates("cosine", 6, 2, more=2, lr=0.9, min_lr=0.1)
    half = [0.1 + 0.4 * (1 + math.cos(math.pi * t / 4)) for t in (1, 2, 3)]
    assert found == pytest.approx([0.45, 0.9, *half, 0.1, 0.1, 0.1])
    assert half[1] == pytest.approx(0.5)


def test_a_linear_decay_falls_by_equal_parts():
    assert rates("linear", 5, 1, lr=0.9, min_lr=0.1) == pytest.approx([0.9, 0.7, 0.5, 0.3, 0.1])


def test_an_inverse_square_root_knows_no_end_and_stops_at_the_minimum():
    found = rates("inverse-sqrt", 16, 4, more=20, lr=0.8, min_lr=0.3)
    assert found[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert found[15] == pytest.approx(0.4)
    assert found[24] == pytest.approx(0.8 * math.sqrt(4 / 25))
    assert found[35] == 0.3


def test_the_last_rate_is_that_of_the_step_with_the_largest_number():
    # Only this form goes on falling beyond the end: 0.3 sqrt(4 / 9).
    schedule = ScheduleConfig(kind="inverse-sqrt", steps=9, warmup_steps=4)
    assert last_rate(OptimConfig(lr=0.3, min_lr=0.01), schedule) == pytest.approx(0.2, rel=1e-12)


def test_without_warm_up_the_first_step_is_already_on_the_way_down():
    assert rates("linear", 4, 0, lr=0.8, min_lr=0.0) == pytest.approx([0.6, 0.4, 0.2, 0.0])
    assert rates("cosine", 3, 3, lr=0.3, min_lr=0.1) == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"kind": "cosin"}, "schedule.kind='cosin' is unknown"),
        ({"kind": "inverse-sqrt", "warmup_steps": 0}, "would be a rate of 0"),
        ({"kind": "cosine", "steps": 5, "warmup_steps": 6}, "is longer than schedule.steps=5"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused(settings, problem):
    with pytest.raises(SeedbedError, match=problem):
        ScheduleConfig(**settings).check()


@pytest.mark.parametrize(("steps", "warmup"), [(37, 5), (11, 1), (64, 20)])
def test_the_rates_are_those_of_transformers(steps, warmup):
    """Its functions give the rate of step n from the steps that were taken, so n + 1 is ours."""
    import torch
    from transformers import optimization as theirs

    made = {
        "cosine": lambda o: theirs.get_cosine_with_min_lr_schedule_with_warmup(
            o, warmup, steps, min_lr=0.02
        ),
        "linear": lambda o: theirs.get_linear_schedule_with_warmup(o, warmup, steps),
        "inverse-sqrt": lambda o: theirs.get_inverse_sqrt_schedule(o, warmup),
        "wsd": lambda o: theirs.get_wsd_schedule(
            o, warmup, 4, num_training_steps=steps, decay_type="linear"
        ),
    }
    for kind, make in made.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
        scheduler = make(optimizer)
        expected = []
        for _ in range(steps):
            optimizer.step()
            scheduler.step()
            expected.append(optimizer.param_groups[0]["lr"])
        # Its wsd with a minimum begins the warm-up there, and not at 0 as ours.
        least = 0.02 if kind == "cosine" else 0.0
        schedule = ScheduleConfig(
            kind=kind, steps=steps, warmup_steps=warmup, decay_steps=4, shape="linear"
        )
        optim = OptimConfig(lr=0.2, min_lr=least)
        ours = [learning_rate(step, optim, schedule) for step in range(steps)]
        assert ours == pytest.approx(expected, rel=1e-12, abs=1e-15), kind


def test_with_a_ramp_the_rate_counts_samples():
    # Steps of 2, 2, 4, 6, 8 and 8 samples; without the ramp, of 8 each.
    batch = RampedBatchConfig(2, 8, RampConfig(2, 2, 12))
    schedule = ScheduleConfig("wsd", steps=6, warmup_steps=2, decay_steps=3, shape="linear")
    optim = OptimConfig(lr=1.0, min_lr=0.0)
    rates = [learning_rate(step, optim, schedule, batch) for step in range(6)]
    assert rates == pytest.approx([2 / 4, 1, 1, 1 - 6 / 22, 1 - 14 / 22, 0], abs=1e-12)
    plain = [learning_rate(step, optim, schedule, RampedBatchConfig(2, 8)) for step in range(6)]
    assert plain == [learning_rate(step, optim, schedule) for step in range(6)]
