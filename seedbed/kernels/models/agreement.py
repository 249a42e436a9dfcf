"""How well predicted scores agree with an oracle's labels, both on the 0-10 scale.

The paper's figures to stand beside (Seed-Coder App A.2, 1,178 test files): MAE 0.91, cMAE 1.37.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# A prediction below this counts as a zero. Of our labels 1% lie strictly between the two.
ZERO_BELOW = 2.0


def mae(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean absolute error, in points of the 0-10 scale."""
    return float(np.abs(predicted - labels).mean())


def class_mae(labels: np.ndarray, predicted: np.ndarray) -> float:
    """cMAE: the mean over score classes i = 0..10 of mean |predicted - i| (App A.2).

    The paper's labels are whole numbers. Ours may be halves, which are rounded up to a class.
    Classes without labels are left out.
    """
    classes = np.floor(labels + 0.5).astype(int)
    errors = [np.abs(predicted[classes == i] - i).mean() for i in np.unique(classes)]
    return float(np.mean(errors))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, float64; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def spearman(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Spearman's rank correlation; 0 where either side is constant."""
    a, b = ranks(labels), ranks(predicted)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else 0.0


def zero_recall(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Share of the files labelled 0 with a prediction below ZERO_BELOW.

    It is 0 where no file is labelled 0.
    """
    zeros = labels == 0
    return float((predicted[zeros] < ZERO_BELOW).mean()) if zeros.any() else 0.0


def within(labels: np.ndarray, predicted: np.ndarray, distance: float = 1.0) -> float:
    """Share of files whose prediction lies within `distance` of the label."""
    return float((np.abs(predicted - labels) <= distance).mean())


def agreement(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """All figures above by name, rounded to 4 decimals, and the number of files."""
    figures = {
        "mae": mae(labels, predicted),
        "cmae": class_mae(labels, predicted),
        "spearman": spearman(labels, predicted),
        "within_1": within(labels, predicted),
        "zero_recall": zero_recall(labels, predicted),
    }
    return {"files": len(labels), **{name: round(value, 4) for name, value in figures.items()}}


def intervals(
    labels: np.ndarray,
    predicted: np.ndarray,
    groups: Sequence[str],
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, list[float]]:
    """95% intervals [low, high] of mae, cmae and spearman, by the percentile bootstrap.

    Whole groups are resampled with replacement (Davison and Hinkley 1997, section 3.8). The groups
    are repositories, because the errors of files of one repository are alike.
    """
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(index == g) for g in range(index.max() + 1)]
    random = np.random.default_rng(seed)
    figures = []
    for _ in range(draws):
        rows = np.concatenate([members[g] for g in random.integers(0, len(members), len(members))])
        y, p = labels[rows], predicted[rows]
        figures.append((mae(y, p), class_mae(y, p), spearman(y, p)))
    low, high = np.percentile(np.array(figures), (2.5, 97.5), axis=0)
    names = ("mae", "cmae", "spearman")
    return {
        name: [round(float(low[i]), 4), round(float(high[i]), 4)] for i, name in enumerate(names)
    }


def calibration(labels: np.ndarray, predicted: np.ndarray, bins: int = 5) -> list[list[float]]:
    """[mean prediction, mean label, files] of each of `bins` parts of the files.

    The files are sorted by prediction, lowest first, and cut into parts of equal size.
    """
    order = np.argsort(predicted, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [
        [round(float(predicted[p].mean()), 4), round(float(labels[p].mean()), 4), len(p)]
        for p in parts
    ]
