"""The measures of a parity check: the largest difference, and top-p."""

from __future__ import annotations

import pytest
import torch

from rl.parity.reference import nucleus, worst


def test_a_log_probability_without_a_number_is_the_worst_difference():
    assert worst([[0.0, -1.0]], [[0.0, -1.5]]) == 0.5
    assert worst([[0.0, float("nan")]], [[0.0, -1.5]]) == float("inf")


def test_top_p_keeps_the_fewest_tokens_that_hold_it_and_scales_them_to_one():
    logprobs = torch.tensor([0.1, 0.5, 0.15, 0.25]).log()
    # .5 falls short of .7, and .75 does not.
    assert nucleus(logprobs, 0.7).exp().tolist() == pytest.approx([0, 2 / 3, 0, 1 / 3])
    assert nucleus(logprobs, 0.4).exp().tolist() == pytest.approx([0, 1, 0, 0])
    assert nucleus(logprobs, 1.0) is logprobs
