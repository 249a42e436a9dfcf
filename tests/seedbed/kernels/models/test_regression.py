"""Kernel ridge against its closed form, cross-validation, and the linear baseline."""

from __future__ import annotations

import numpy as np
import pytest

from seedbed.kernels.models import regression

RNG = np.random.default_rng(7)
X = RNG.normal(size=(60, 4))
Y = np.sin(X[:, 0]) + X[:, 1]
ONES = np.ones(4)


def test_kernel_ridge_is_its_textbook_formula():
    model = regression.fit(X, Y[:, None], width=0.7, penalty=0.2, scale=ONES)
    z = (X - X.mean(0)) / X.std(0)
    k = np.exp(-0.7 * np.abs(z[:, None] - z[None]).mean(axis=2))
    expected = k @ np.linalg.solve(k + 0.2 * np.eye(60), Y - Y.mean()) + Y.mean()
    # Centres are stored with 3 decimals.
    np.testing.assert_allclose(model.predict(X)[:, 0], expected, atol=2e-3)
    assert model.predict(X[:0]).shape == (0, 1)


def test_an_output_learns_from_its_own_rows_alone():
    some = np.arange(60) % 3 > 0
    both = regression.fit(X, np.stack([Y, np.where(some, 2 * Y, np.nan)], axis=1), 0.7, 0.2, ONES)
    z = np.round((X - X.mean(0)) / X.std(0), 3)
    k = np.exp(-0.7 * np.abs(z[:, None] - z[some][None]).mean(axis=2))
    alone = k @ np.linalg.solve(
        k[some] + 0.2 * np.eye(some.sum()), 2 * Y[some] - 2 * Y[some].mean()
    )
    np.testing.assert_allclose(both.predict(X)[:, 1], alone + 2 * Y[some].mean(), atol=2e-3)
    np.testing.assert_allclose(
        both.predict(X)[:, 0], regression.fit(X, Y[:, None], 0.7, 0.2, ONES).predict(X)[:, 0]
    )


def test_fewer_centres_than_rows_come_close_and_all_rows_as_centres_agree_exactly(monkeypatch):
    whole = regression.fit(X, Y[:, None], 0.7, 0.2, ONES)
    monkeypatch.setattr(regression, "MAX_CENTRES", 40)
    part = regression.fit(X, Y[:, None], 0.7, 0.2, ONES)
    assert part.centres.shape == (40, 4)
    assert np.abs(part.predict(X) - whole.predict(X)).mean() < 0.15 * Y.std()
    gram = np.exp(-regression.distances(whole.centres, whole.centres))
    normal = np.linalg.solve(gram.T @ gram + 0.2 * gram, gram.T @ Y)
    np.testing.assert_allclose(regression._ridge(gram, Y, 0.2), normal, atol=1e-8)


def test_a_feature_scaled_up_counts_as_that_many():
    weighed = regression.fit(X, Y[:, None], 0.7, 0.2, np.array([3.0, 1, 1, 1]))
    repeated = regression.fit(
        X[:, [0, 0, 0, 1, 2, 3]],
        Y[:, None],
        0.7 * 6 / 4,
        0.2,
        np.ones(6),
        # the width is per feature
    )
    np.testing.assert_allclose(
        weighed.predict(X), repeated.predict(X[:, [0, 0, 0, 1, 2, 3]]), atol=2e-3
    )


def test_a_robust_output_is_not_moved_by_a_few_wild_labels_and_the_others_are_as_before():
    wild = np.where(np.arange(60) % 15 == 0, Y + 30, Y)
    plain, robust = (
        regression.fit(X, np.stack([wild, Y], axis=1), 2.0, 3.0, ONES, r).predict(X)
        for r in ((), (0,))
    )
    tame = np.arange(60) % 15 != 0
    assert np.abs(robust[tame, 0] - Y[tame]).mean() < 0.5 * np.abs(plain[tame, 0] - Y[tame]).mean()
    np.testing.assert_array_equal(robust[:, 1], plain[:, 1])


def test_a_robust_output_is_reweighted_ridge_in_full():
    """Holland and Welsch's reweighting, written out; the weights of rows have mean 1."""
    z = np.round((X - X.mean(0)) / X.std(0), 3)
    k = np.exp(-0.7 * np.abs(z[:, None] - z[None]).mean(axis=2))
    residual, trust = Y - Y.mean(), np.ones(60)
    for _ in range(4):
        weights = np.linalg.solve(k + np.diag(0.2 / trust), residual)
        missed = np.abs(residual - k @ weights)
        trust = np.minimum(1, np.median(missed) / missed)
        trust = trust / trust.mean()
    robust = regression.fit(X, Y[:, None], 0.7, 0.2, ONES, (0,)).predict(X)[:, 0]
    np.testing.assert_allclose(robust, k @ weights + Y.mean(), atol=2e-3)
    plain = regression.fit(X, Y[:, None], 0.7, 0.2, ONES).predict(X)[:, 0]
    assert np.abs(robust - plain).max() > 0.02


def test_linear_ridge_without_penalty_finds_the_line():
    weights, intercept = regression.linear_ridge(X, 3 * X[:, 2] + 5, 1e-9)
    # Features are clipped at four deviations.
    np.testing.assert_allclose(weights, [0, 0, 3 * X[:, 2].std(), 0], atol=0.02)
    assert intercept == pytest.approx(5 + 3 * X[:, 2].mean(), abs=0.02)


def test_a_constant_feature_changes_nothing():
    padded = np.column_stack([X, np.full(60, 3.0)])
    # the width is per feature
    wider = regression.fit(padded, Y[:, None], 0.7 * 5 / 4, 0.2, np.ones(5))
    np.testing.assert_allclose(
        wider.predict(padded), regression.fit(X, Y[:, None], 0.7, 0.2, ONES).predict(X), atol=1e-5
    )


def test_folds_never_split_a_group_and_are_even():
    groups = ["big"] * 40 + ["b"] * 10 + ["c"] * 10 + ["d"] * 10 + ["e"] * 10
    fold = regression.group_folds(groups, 3)
    assert all(
        len({int(f) for f, g in zip(fold, groups, strict=True) if g == name}) == 1
        for name in set(groups)
    )
    assert sorted(np.bincount(fold)) == [20, 20, 40]
    assert regression.group_folds(["a", "b"], 10).max() == 1


def test_a_row_is_predicted_by_models_that_never_saw_its_group():
    fold = np.repeat([0, 1, 2], 20)
    poisoned = np.where(fold == 1, Y + 1000, Y)
    setting = regression.RidgeSettings([1.0], [0.1])
    clean = regression.out_of_fold(X, Y[:, None], fold, setting, ONES)[0, 0]
    again = regression.out_of_fold(X, poisoned[:, None], fold, setting, ONES)[0, 0]
    assert np.array_equal(again[fold == 1], clean[fold == 1])
    assert np.abs(regression.out_of_fold_linear(X, poisoned, fold, 1.0)[fold == 1]).max() < 10


def test_the_reported_predictions_choose_their_setting_on_other_folds():
    targets, fold = np.zeros(4), np.array([0, 0, 1, 1])
    # Each setting is good on one fold only.
    predictions = np.array([[[1.0, 1, 9, 9], [8, 8, 2, 2]]])
    (w, p), honest = regression.choose(predictions, targets, fold)
    assert (w, p) == (0, 0)
    # So each fold gets the setting that is good on the other fold.
    assert honest.tolist() == [8, 8, 9, 9]
