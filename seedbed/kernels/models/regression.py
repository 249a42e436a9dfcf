"""Kernel ridge regression with a Laplacian kernel, in closed form: the structural scorer's model.

The kernel is k(x, c) = exp(-width * mean_j |x_j - c_j|) on standardised features. Its sums of
distances per feature cut the space along the axes, as boosted trees do. The fit stays one linear
solve in float64, with no seed, no iteration and no pickled object. Sources: Saunders et al. 1998
for kernel ridge; Rahimi and Recht 2007 for the Laplacian kernel.

Several outputs share the centres and so the distances. An output learns from the rows that have a
target for it.

With more than MAX_CENTRES rows the kernel is expanded over that many of them (Nystrom: Williams and
Seeger 2001). So the cost grows only linearly with the labels. Linear ridge is the baseline to
measure against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seedbed.kernels.native import native

MAX_CENTRES = 2048
# Standardised features are clipped here, so that an outlier counts as an extreme value only.
CLIP = 4.0
# Decimals of fitted numbers. BLAS builds differ in the last bits, and the parameters name the
# scorer's version.
DECIMALS = 6
# Decimals of the centres, in standard deviations. They keep a scorer's file small.
CENTRE_DECIMALS = 3
# More reweightings change only the third figure of the error.
REWEIGHTINGS = 3
# Bounds a residual from below, so that a row that is met exactly has full weight.
TINY = 1e-12
# Added to the diagonal of the centres' kernel: two labelled files may have the same features.
JITTER = 1e-9


@dataclass(frozen=True)
class Model:
    """A fitted regression of `targets` on features; `predict` takes raw features.

    mean, std, scale: (features,). centres: (m, features), standardised and scaled. weights:
    (m, outputs). intercept: (outputs,). All are float64. width: of the kernel.
    """

    mean: np.ndarray
    std: np.ndarray
    scale: np.ndarray
    centres: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    width: float

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Predictions, float64 (n, outputs), for raw features x (n, features)."""
        if not len(x):
            return np.zeros((0, len(self.intercept)))
        z = standardise(x, self.mean, self.std) * self.scale
        gram = np.exp(distances(z, self.centres) * -self.width)
        return np.asarray(gram @ self.weights + self.intercept)


class RidgeSettings(NamedTuple):
    """The settings of kernel ridge to try: every width with every penalty."""

    widths: Sequence[float]
    penalties: Sequence[float]


def fit(
    x: np.ndarray,
    targets: np.ndarray,
    width: float,
    penalty: float,
    scale: np.ndarray,
    robust: Sequence[int] = (),
) -> Model:
    """Fit kernel ridge of `targets` on `x`.

    x: (n, features). targets: (n, outputs); NaN where a row has no target. scale: (features,), the
    weight of each feature. robust: the outputs that minimise Huber's loss instead of the squared
    error. Each output adds penalty * |f|^2 in the kernel's space. The first MAX_CENTRES rows are
    the centres.
    """
    mean, std = moments(x)
    z = np.round(standardise(x, mean, std) * scale, CENTRE_DECIMALS)
    centres = z[:MAX_CENTRES]
    weights, intercept = _outputs(np.exp(distances(z, centres) * -width), targets, penalty, robust)
    return Model(
        mean, std, scale, centres, np.round(weights, DECIMALS), np.round(intercept, DECIMALS), width
    )


def _outputs(
    gram: np.ndarray, targets: np.ndarray, penalty: float, robust: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (m, outputs) and intercepts (outputs,), given the kernel of rows with centres.

    gram: (n, m). The first m rows are the centres.
    """
    weights, intercept = np.zeros((gram.shape[1], targets.shape[1])), np.zeros(targets.shape[1])
    for output in range(targets.shape[1]):
        own = ~np.isnan(targets[:, output])
        mine = np.flatnonzero(own[: gram.shape[1]])
        intercept[output] = targets[own, output].mean()
        residual = targets[own, output] - intercept[output]
        solve = _huber if output in robust else _ridge
        weights[mine, output] = solve(gram[own][:, mine], residual, penalty)
    return weights, intercept


def _ridge(gram: np.ndarray, residual: np.ndarray, penalty: float) -> np.ndarray:
    """Weights (m,) of the centres that minimise the squared error; arguments as in `_solve`."""
    return _solve(gram, residual, penalty, np.ones(len(gram)))


def _huber(gram: np.ndarray, residual: np.ndarray, penalty: float) -> np.ndarray:
    """Weights (m,) of the centres by reweighted least squares (Holland and Welsch 1977).

    A row with more than the median error counts in proportion to its error, as in the mean absolute
    error, and not to its square.
    """
    trust = np.ones(len(gram))
    for _ in range(REWEIGHTINGS):
        weights = _solve(gram, residual, penalty, trust)
        missed = np.abs(residual - gram @ weights)
        trust = np.minimum(1.0, np.median(missed) / np.maximum(missed, TINY))
        trust /= trust.mean()
    return _solve(gram, residual, penalty, trust)


def _solve(gram: np.ndarray, residual: np.ndarray, penalty: float, trust: np.ndarray) -> np.ndarray:
    """Weights (m,) of the centres that minimise the weighted squared error.

    gram: (n, m), the kernel of all rows with the centres, which are the first m rows. residual:
    (n,). trust: (n,), each row's weight in the squared error. Where every row is a centre, the
    normal equations reduce to (K + penalty / trust) w = r.
    """
    size = gram.shape[1]
    if len(gram) == size:
        return np.linalg.solve(gram + np.diag(penalty / trust), residual)
    weighed = gram.T * trust
    return np.linalg.solve(
        weighed @ gram + penalty * gram[:size] + JITTER * np.eye(size), weighed @ residual
    )


def linear_ridge(x: np.ndarray, targets: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Weights (features,) and intercept of linear ridge on standardised x (n, features).

    They minimise squared error + penalty * |w|^2.
    """
    mean, std = moments(x)
    z = standardise(x, mean, std)
    centre = z.mean(axis=0)
    intercept = float(targets.mean())
    gram = (z - centre).T @ (z - centre) + penalty * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, (z - centre).T @ (targets - intercept))
    return weights, intercept - float(centre @ weights)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature, both (features,).

    The deviation of a constant feature is 1, so that it standardises to 0.
    """
    mean, std = np.round(x.mean(axis=0), DECIMALS), np.round(x.std(axis=0), DECIMALS)
    return mean, np.where(std > 0, std, 1.0)


def standardise(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Features in standard deviations from the mean, clipped at CLIP; shape of `x`."""
    return np.clip((x - mean) / std, -CLIP, CLIP)


@native
def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean absolute difference, (n, m), of each row of a (n, features) and b (m, features)."""
    out = np.empty((a.shape[0], b.shape[0]), np.float64)
    for i in range(a.shape[0]):
        for j in range(b.shape[0]):
            total = 0.0
            for k in range(a.shape[1]):
                total += abs(a[i, k] - b[j, k])
            out[i, j] = total / a.shape[1]
    return out


def group_folds(groups: Sequence[str], folds: int) -> np.ndarray:
    """Fold, int64 from 0 to folds - 1, of each row; no group is split.

    The groups go to the emptiest fold, the largest group first.
    """
    names, counts = np.unique(np.asarray(groups), return_counts=True)
    sizes = np.zeros(min(folds, len(names)), np.int64)
    fold_of = {}
    for index in np.lexsort((names, -counts)):
        fold_of[names[index]] = int(np.argmin(sizes))
        sizes[fold_of[names[index]]] += counts[index]
    return np.array([fold_of[group] for group in groups], np.int64)


def out_of_fold(
    x: np.ndarray,
    targets: np.ndarray,
    fold: np.ndarray,
    settings: RidgeSettings,
    scale: np.ndarray,
    robust: Sequence[int] = (),
) -> np.ndarray:
    """Predictions for each row by models that did not see its fold; one model per setting.

    x, targets, scale, robust: as in `fit`. fold: (n,). Returns float64 (widths, penalties, n,
    outputs).
    """
    out = np.zeros((len(settings.widths), len(settings.penalties), *targets.shape))
    for held in np.unique(fold):
        test, train = fold == held, fold != held
        mean, std = moments(x[train])
        z = standardise(x[train], mean, std) * scale
        centres = z[:MAX_CENTRES]
        seen, unseen = (
            distances(z, centres),
            distances(standardise(x[test], mean, std) * scale, centres),
        )
        for w, width in enumerate(settings.widths):
            gram = np.exp(seen * -width)
            for p, penalty in enumerate(settings.penalties):
                weights, intercept = _outputs(gram, targets[train], penalty, robust)
                out[w, p, test] = np.exp(unseen * -width) @ weights + intercept
    return out


def choose(
    predictions: np.ndarray, targets: np.ndarray, fold: np.ndarray
) -> tuple[tuple[int, int], np.ndarray]:
    """The (width, penalty) indices of least mean absolute error, and honest predictions (n,).

    predictions: (widths, penalties, n), as from `out_of_fold`. The honest predictions are the ones
    to report: each fold is predicted with the setting that is best on the other folds.
    """
    errors = np.abs(predictions - targets)
    honest = np.zeros(len(targets))
    for held in np.unique(fold):
        best = _smallest(errors[:, :, fold != held].mean(axis=2))
        honest[fold == held] = predictions[best][fold == held]
    return _smallest(errors.mean(axis=2)), honest


def _smallest(grid: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(int(np.argmin(grid)), grid.shape)
    return int(row), int(column)


def out_of_fold_linear(
    x: np.ndarray, targets: np.ndarray, fold: np.ndarray, penalty: float
) -> np.ndarray:
    """Predictions (n,) of linear ridge for each row by models that did not see its fold."""
    out = np.zeros(len(targets))
    for held in np.unique(fold):
        test, train = fold == held, fold != held
        weights, intercept = linear_ridge(x[train], targets[train], penalty)
        out[test] = standardise(x[test], *moments(x[train])) @ weights + intercept
    return out
