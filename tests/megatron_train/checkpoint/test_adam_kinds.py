"""The number of Adam's steps, wherever a kind of optimizer keeps it."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from megatron_train.checkpoint.adam_kinds import steps_taken

PLAIN = {"state": {"common_step": 3.0}, "param_groups": [{"lr": 1.0}]}
DISTRIBUTED = {"optimizer": {"param_groups": [{"step": 3.0}, {"step": 3.0}]}}


@pytest.mark.parametrize("common", [PLAIN, {"optimizer": PLAIN}, DISTRIBUTED])
def test_both_kinds_tell_their_steps(common):
    assert steps_taken(common, "step_3") == 3.0


@pytest.mark.parametrize(
    "common",
    [{}, {"0": PLAIN, "1": PLAIN}, {"optimizer": {"param_groups": [{"step": 3}, {"step": 4}]}}],
)
def test_none_or_several_numbers_of_steps_are_refused(common):
    with pytest.raises(SeedbedError, match=r"step_3 tells [02] numbers of Adam's steps"):
        steps_taken(common, "step_3")
