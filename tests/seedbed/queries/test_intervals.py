"""Shares with intervals against textbook figures."""

from __future__ import annotations

import pytest

from seedbed.queries.intervals import share


def test_equal_weights_give_wilsons_interval() -> None:
    half = share([1.0, 0.0] * 5, [3.0] * 10)
    assert (half.value, half.n) == (0.5, 10)
    assert (half.low, half.high) == (
        pytest.approx(0.2366, abs=1e-4),
        pytest.approx(0.7634, abs=1e-4),
    )


def test_a_share_of_one_still_has_a_width() -> None:
    whole = share([1.0] * 100, [1.0] * 100)
    assert (whole.value, whole.high) == (1.0, 1.0)
    assert whole.low == pytest.approx(0.9630, abs=1e-4)


def test_unequal_weights_move_the_share_and_widen_the_interval() -> None:
    found = share([1.0, 0.0, 0.0, 0.0], [3.0, 1.0, 1.0, 1.0])
    even = share([1.0, 0.0, 1.0, 0.0], [1.0] * 4)
    assert found.value == 0.5
    assert found.high - found.low > even.high - even.low


def test_no_units_have_no_share() -> None:
    assert share([], []) is None
