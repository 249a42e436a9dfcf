"""Passes over sources by hand, caps with how far a run may go, and what is warned of."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from megatron_train.data.epochs import check_caps, epochs

WEIGHTS, SAMPLES = {"code": 3.0, "docs": 1.0}, {"code": 400, "docs": 25}


def test_samples_are_shared_by_weight_and_divided_by_a_pass():
    assert epochs(WEIGHTS, SAMPLES, 800) == {"code": 1.5, "docs": 8.0}
    assert epochs({"one": 0.3}, {"one": 50}, 125) == {"one": 2.5}


def test_a_source_beyond_its_cap_is_refused_with_the_steps_that_are_allowed():
    read = epochs(WEIGHTS, SAMPLES, 800)
    with pytest.raises(SeedbedError, match=r"docs would be read 8\.00 times") as refused:
        check_caps(read, {"docs": 5.5}, steps=100)
    assert "schedule.steps=68" in refused.value.fix
    allowed = epochs(WEIGHTS, SAMPLES, 8 * 68)
    assert check_caps(allowed, {"docs": 5.5}, steps=68) == []


def test_a_small_source_that_repeats_is_told_and_others_are_not():
    [said] = check_caps(epochs(WEIGHTS, SAMPLES, 800), {}, steps=100)
    assert said.startswith("note: source docs is read 8.0 times")
    assert check_caps({"docs": 4.0}, {}, steps=10) == []
    # Who sets a cap has decided.
    assert check_caps({"docs": 8.0}, {"docs": 8.0}, steps=10) == []
