"""How the batch grows, by hand and against a twin that counts step by step."""

from __future__ import annotations

import random

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.batch import RampConfig, RampedBatchConfig
from conf.schema.layout import ParallelConfig
from conf.schema.pretrain import PretrainConfig, check_world

RAMP = ["batch.micro=2", "batch.total=8", "batch.ramp.start=2", "batch.ramp.increment=2"]


def test_a_ramp_grows_at_equal_distances_of_samples():
    batch = load(PretrainConfig, None, [*RAMP, "batch.ramp.samples=12"]).batch
    # Growths come at 4, 8 and 12 samples. Step 3 begins at 8 and step 4 at 14.
    assert [batch.size(step) for step in range(7)] == [2, 2, 4, 6, 8, 8, 8]
    assert [batch.samples(steps) for steps in range(7)] == [0, 2, 4, 8, 14, 22, 30]
    assert [batch.step_of(sample) for sample in (0, 1, 2, 7, 8, 13, 14, 21, 22)] == [
        *(0, 0, 1, 2, 3, 3, 4, 4, 5),
    ]
    assert [batch.steps_for(samples) for samples in (0, 1, 2, 3, 14, 15)] == [0, 1, 1, 2, 4, 5]


def test_a_ramp_counts_as_megatron_does_step_by_step():
    """Megatron-LM grows int(consumed / (samples / growths)) times, and not at all behind them."""
    draw = random.Random(5)
    for _ in range(200):
        start, increment, growths = (draw.randint(1, 9) for _ in range(3))
        samples = growths * draw.randint(1, 40)
        total = start + increment * growths
        batch = RampedBatchConfig(1, total, RampConfig(start, increment, samples))
        consumed = 0
        for step in range(60):
            grown = int(consumed / (samples / growths)) if consumed <= samples else growths
            assert batch.size(step) == min(start + grown * increment, total)
            assert batch.samples(step) == consumed
            consumed += batch.size(step)
            assert batch.step_of(consumed - 1) == step


def test_a_batch_without_a_ramp_is_the_same_in_every_step():
    batch = RampedBatchConfig(4, 16)
    assert (batch.size(0), batch.size(9), batch.samples(5), batch.step_of(80)) == (16, 16, 80, 5)
    assert batch.sizes() == {"batch.total": 16}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["batch.ramp.samples=0"], "batch.ramp.samples=0 leaves the ramp open"),
        (["batch.ramp.start=8"], "batch.ramp.start=8 must lie below batch.total=8"),
        (["batch.ramp.increment=4"], r"\(8 - 2\) % 4 = 2"),
        (["batch.ramp.start=1", "batch.ramp.increment=7"], "batch.ramp.start must divide by"),
        (["batch.total=40002"], "has 20,000 sizes, more than 10,000"),
    ],
)
def test_a_ramp_that_cannot_be_is_refused(changed, said):
    with pytest.raises(SeedbedError, match=said):
        load(PretrainConfig, None, [*RAMP, "batch.ramp.samples=12", *changed])


def test_every_size_of_a_ramp_must_divide_by_the_processes():
    batch = RampedBatchConfig(2, 8, RampConfig(2, 2, 12))
    assert check_world(ParallelConfig(), batch, 1) == 1
    with pytest.raises(SeedbedError, match=r"batch.ramp.start must divide .* 2 % \(2 \* 2\) = 2"):
        check_world(ParallelConfig(), batch, 2)
