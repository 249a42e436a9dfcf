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


def test_a_share_by_hand_and_how_it_is_shown() -> None:
    # Wilson's interval of 1 in 4, as tables have it.
    assert str(share([0.0, 1.0, 0.0, 0.0], [2.0] * 4)) == "0.2500  [0.0456, 0.6994]  n=4"
    nothing = share([0.0] * 20, [1.0] * 20)
    assert (nothing.value, nothing.low) == (0.0, 0.0)


def test_the_effective_size_of_unequal_weights_by_hand() -> None:
    # (3 + 1 + 1 + 1)**2 / (9 + 1 + 1 + 1) = 3 units, half of them.
    found = share([1.0, 0.0, 0.0, 0.0], [3.0, 1.0, 1.0, 1.0])
    assert (found.low, found.high) == (
        pytest.approx(0.12534, abs=1e-5),
        pytest.approx(0.87466, abs=1e-5),
    )
