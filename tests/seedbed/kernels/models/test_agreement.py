"""The figures of agreement against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from seedbed.kernels.models import agreement


def test_the_figures_are_those_of_their_definitions():
    labels, predicted = np.array([0, 0, 6.5, 7, 3]), np.array([1.0, 3, 6.5, 8, 3])
    assert agreement.mae(labels, predicted) == pytest.approx((1 + 3 + 0 + 1 + 0) / 5)
    # 6.5 counts as a 7.
    assert agreement.class_mae(labels, predicted) == pytest.approx(
        ((1 + 3) / 2 + (0.5 + 1) / 2 + 0) / 3
    )
    assert agreement.zero_recall(labels, predicted) == 0.5
    assert agreement.within(labels, predicted) == 0.8
    assert agreement.ranks(np.array([5, 1, 5, 9])).tolist() == [2.5, 1, 2.5, 4]
    assert agreement.spearman(np.array([1, 2, 3, 4.0]), np.array([1, 3, 2, 40.0])) == pytest.approx(
        0.8
    )
    # With a tie.
    assert agreement.spearman(np.array([1, 2, 2, 3.0]), np.array([1, 2, 3, 4.0])) == pytest.approx(
        0.948683
    )
    assert agreement.spearman(labels, np.ones(5)) == 0


def test_intervals_draw_whole_groups_and_hold_the_figure_itself():
    labels = np.repeat([2.0, 8.0], 50)
    predicted = labels + np.tile([1.0, -1.0], 50)
    groups = [f"g{i // 10}" for i in range(100)]
    alike = agreement.intervals(labels, predicted, groups, draws=200)
    assert alike["mae"] == [1.0, 1.0]
    uneven = np.where(np.arange(100) < 50, labels, predicted)
    low, high = agreement.intervals(labels, uneven, groups, draws=200)["mae"]
    assert low < agreement.mae(labels, uneven) == 0.5 < high
    by_file = agreement.intervals(labels, uneven, [str(i) for i in range(100)], draws=200)["mae"]
    # Files with the same error are no independent evidence.
    assert by_file[1] - by_file[0] < 0.7 * (high - low)
    assert agreement.intervals(labels, uneven, groups, draws=200)["mae"] == [low, high]


def test_calibration_sets_means_of_labels_beside_means_of_predictions():
    found = agreement.calibration(np.array([0.0, 4, 6, 8]), np.array([2.0, 1, 7, 7]), bins=2)
    assert found == [[1.5, 2.0, 2], [7.0, 7.0, 2]]
