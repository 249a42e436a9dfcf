"""Scales, ticks and thinning: the arithmetic below the charts."""

from __future__ import annotations

import pytest
from markupsafe import Markup

from report import svg


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (3, 17, [5, 10, 15]),
        (0, 3e-4, [0, 1e-4, 2e-4, 3e-4]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks_are_round_and_inside(low, high, ticks):
    assert svg.nice_ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("value", "label"),
    [(0, "0"), (0.25, "0.25"), (3e-4, "3e-4"), (1500, "1.5k"), (2_000_000, "2M"), (-0.5, "-0.5")],
)
def test_tick_labels_are_short(value, label):
    assert svg.short(value) == label


def test_long_runs_are_drawn_as_means_of_equal_groups():
    points = [(float(i), float(i % 2)) for i in range(2 * svg.MAX_POINTS)]
    thin = svg.thinned(points)
    assert len(thin) == svg.MAX_POINTS
    assert thin[0] == (0.5, 0.5)
    assert svg.thinned(points[:3]) == points[:3]


def test_labels_are_escaped():
    drawing = svg.lines("<t>", [svg.Series('"<n>', "c1", [(0, 1)], dots=True)], "<x>", "<y>")
    assert isinstance(drawing, Markup)
    assert not {"<t>", "<n>", "<x>", "<y>"} & {drawing[i : i + 3] for i in range(len(drawing))}


@pytest.mark.parametrize(
    "drawing",
    [
        lambda: svg.lines("one point", [svg.Series("s", "c1", [(1, 2.0)])], "x", "y"),
        lambda: svg.lines(
            "flat", [svg.Series("s", "c1", [(1, 0.0), (2, 0.0)])], "x", "y", (0.0, None)
        ),
        lambda: svg.histogram("empty bins", [0, 0.5, 1], [("a", "c1", [0, 0])], "x", "y"),
        lambda: svg.columns("zero", [("a", 0)], "x", "y"),
        lambda: svg.shares("one step", [3], [("pass", "c1", [0.25]), ("fail", "c2", [0.75])], "x"),
    ],
)
def test_degenerate_data_is_drawn(drawing):
    assert "nan" not in drawing()
