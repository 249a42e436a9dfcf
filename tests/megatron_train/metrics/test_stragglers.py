"""Slow processes are named in words."""

from __future__ import annotations

from megatron_train.metrics import stragglers


def test_slow_processes_are_named_and_even_ones_are_not():
    assert stragglers.report([1.0, 1.05, 0.98, 1.0], ["a", "a", "b", "b"]) is None
    said = stragglers.report([1.0, 1.0, 1.0, 1.5], ["a", "a", "b", "b"])
    assert said == (
        "slow: process 3 on b 1.50x the median of 1.000 s until gradients are ready "
        "(1 of 4 processes)"
    )
