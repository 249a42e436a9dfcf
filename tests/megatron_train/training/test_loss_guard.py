"""The loss guard: when a loss is a spike, and what follows a bad step."""

from __future__ import annotations

import math

import pytest

from conf.errors import SeedbedError
from conf.schema.pretrain import GuardConfig
from megatron_train.training.loss_guard import LossGuard
from megatron_train.training.state import BadStep


def test_a_spike_lies_above_the_window_and_only_a_full_window_judges():
    guard = LossGuard(GuardConfig(spike_deviations=3.0, window=4), [2.0, 2.2, 1.8])
    assert guard.limit() == math.inf
    guard.accept(2.0)
    assert guard.limit() == pytest.approx(2.0 + 3 * math.sqrt(0.02))
    assert LossGuard(GuardConfig(), [1.0] * 100).limit() == math.inf


def test_a_bad_step_stops_skips_or_rewinds_as_configured_and_not_for_ever():
    bad, spike = BadStep("loss", math.nan, 4), BadStep("loss", 9.0, 4, is_spike=True)
    with pytest.raises(BadStep, match="the loss at step 5 is nan"):
        LossGuard(GuardConfig(), []).decide(bad)
    guard = LossGuard(GuardConfig(not_finite="skip", tries=2), [])
    assert (guard.decide(bad), guard.decide(spike)) == ("skip", "rewind")
    with pytest.raises(SeedbedError, match=r"3 steps in a row were refused, guard\.tries=2"):
        guard.decide(bad)


def test_an_accepted_step_begins_the_count_of_refused_ones_anew():
    bad = BadStep("loss", math.nan, 4)
    guard = LossGuard(GuardConfig(not_finite="skip", tries=2), [])
    for _ in range(3):
        assert [guard.decide(bad), guard.decide(bad)] == ["skip", "skip"]
        guard.accept(1.0)
    # Going back is no accepted step.
    assert [guard.decide(bad), guard.decide(bad)] == ["skip", "skip"]
    guard.forget_after([1.0, 1.0])
    with pytest.raises(SeedbedError, match="3 steps in a row"):
        guard.decide(bad)
