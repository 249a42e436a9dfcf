"""The loss of a step by hand: each setting of the objective, on three rows of four tokens."""

from __future__ import annotations

import math

import pytest
import torch

from conf.loader import load
from conf.schema.rl import GrpoConfig
from rl.training.policy_objective import PolicyObjective

MASK = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
# Of the engine, the trainer before the step, the reference, and the policy now. Where nothing
# counts they hold what must not count.
INF = math.inf
ENGINE = torch.tensor([[-1.0, -2.0, INF, INF], [-1.0, -1.0, -3.0, INF], [INF] * 4])
OLD = torch.tensor([[-0.5, -2.5, -9.0, -9.0], [-1.0, -0.25, -1.0, -9.0], [-9.0] * 4])
REFERENCE = torch.tensor([[-1.0, -2.0, 5.0, 5.0], [-2.0, -1.5, -1.0, 5.0], [5.0] * 4])
NOW = torch.tensor([[-0.4, -2.9, 3.0, 3.0], [-1.3, -0.2, -1.1, 3.0], [3.0] * 4])
ADVANTAGE = torch.tensor([1.5, -0.5, 7.0])
LENGTHS = (2, 3)


def loss(*settings: str, now: torch.Tensor = NOW, old: bool = True, longest: int = 10):
    batch = {"loss_mask": MASK, "engine_logprobs": ENGINE, "advantage": ADVANTAGE}
    batch |= {"reference_logprobs": REFERENCE} | ({"old_logprobs": OLD} if old else {})
    cfg = load(GrpoConfig, None, ["clip_low=0.3", "clip_high=0.15", *settings])
    return PolicyObjective(cfg, longest).loss(now, batch)


def tokens(row: int) -> list[int]:
    return list(range(LENGTHS[row]))


def term(row: int, token: int, old: torch.Tensor = OLD, log_ratio: float | None = None) -> float:
    """PPO's clipped term of a token, to be maximised."""
    moved = (NOW - old)[row, token].item() if log_ratio is None else log_ratio
    ratio, advantage = math.exp(moved), ADVANTAGE[row].item()
    return min(ratio * advantage, min(max(ratio, 0.7), 1.15) * advantage)


def weight(row: int, token: int, cap: float) -> float:
    return min(math.exp((OLD - ENGINE)[row, token].item()), cap)


def by_token(value) -> float:
    """The sum of value(row, token) over what counts."""
    return sum(value(row, token) for row in (0, 1) for token in tokens(row))


def by_sequence(value) -> float:
    """The sum over rows of the mean of value(row, token)."""
    return sum(sum(value(row, token) for token in tokens(row)) / LENGTHS[row] for row in (0, 1))


def test_without_a_correction_the_loss_is_the_clipped_one_and_the_gap_is_told():
    total, count, sums = loss("objective.correction=none")
    assert (total.item(), count.item()) == (pytest.approx(-by_token(term)), 5)
    # |old - engine| of the five tokens.
    assert sums["gap"].item() == pytest.approx(0.5 + 0.5 + 0.0 + 0.75 + 2.0)
    assert sums["ratio"].item() == pytest.approx(
        by_token(lambda row, token: math.exp((NOW - OLD)[row, token].item()))
    )
    assert sorted(sums) == ["clipped", "gap", "ratio"]


def test_the_ratio_is_to_the_trainer_before_the_step_and_to_itself_where_that_is_missing():
    now = NOW.clone().requires_grad_()
    total, _, sums = loss("objective.correction=none", now=now, old=False)
    total.backward()
    assert total.item() == pytest.approx(-(2 * 1.5 - 3 * 0.5))
    assert sums["ratio"].item() == 5.0
    assert now.grad.tolist() == [[-1.5, -1.5, 0.0, 0.0], [0.5, 0.5, 0.5, 0.0], [0.0] * 4]
    # |now - engine|.
    assert sums["gap"].item() == pytest.approx(0.6 + 0.9 + 0.3 + 0.8 + 1.9)


@pytest.mark.parametrize("cap", [1.25, 4.0])
def test_importance_weights_are_of_the_trainer_over_the_engine_and_cut_at_the_setting(cap):
    total, count, sums = loss("objective.correction=truncate", f"max_importance={cap}")
    expected = -by_token(lambda row, token: term(row, token) * weight(row, token, cap))
    assert (total.item(), count.item()) == (pytest.approx(expected, abs=1e-5), 5)
    assert sums["weight"].item() == pytest.approx(
        by_token(lambda row, token: weight(row, token, cap))
    )


def test_a_weight_above_the_setting_takes_the_token_out_where_that_is_asked_for():
    # Weights are exp(0.5), exp(-0.5), 1, exp(0.75) and exp(2).
    total, count, sums = loss("objective.correction=mask", "max_importance=2")
    kept = {(0, 0), (0, 1), (1, 0)}

    def value(row: int, token: int) -> float:
        return weight(row, token, 9.0) if (row, token) in kept else 0.0

    assert total.item() == pytest.approx(
        -by_token(lambda row, token: term(row, token) * value(row, token)), abs=1e-5
    )
    assert (count.item(), sums["weight"].item()) == (5, pytest.approx(by_token(value)))


@pytest.mark.parametrize(
    ("estimator", "value"),
    [
        ("k1", lambda d: -d),
        ("k2", lambda d: d * d / 2),
        ("k3", lambda d: math.exp(d) - 1 - d),
    ],
)
def test_the_penalty_is_the_coefficient_times_the_estimate_against_the_reference(estimator, value):
    options = ["objective.correction=none", f"objective.kl_estimator={estimator}"]
    plain, _, _ = loss(*options)
    total, _, sums = loss(*options, "objective.kl_coefficient=0.25")
    kl = by_token(lambda row, token: value((REFERENCE - NOW)[row, token].item()))
    assert sums["kl"].item() == pytest.approx(kl, rel=1e-5)
    assert (total - plain).item() == pytest.approx(0.25 * kl, rel=1e-4)


def test_the_normalisation_divides_the_loss_and_all_that_is_told():
    options = ["max_importance=4", "objective.kl_coefficient=0.25", "objective.kl_estimator=k2"]
    total, count, sums = loss(*options, "objective.normalisation=sequence")

    def kl(row: int, token: int) -> float:
        return (REFERENCE - NOW)[row, token].item() ** 2 / 2

    def whole(row: int, token: int) -> float:
        return -term(row, token) * weight(row, token, 4.0) + 0.25 * kl(row, token)

    assert (total.item(), count.item()) == (pytest.approx(by_sequence(whole), rel=1e-5), 2)
    assert sums["kl"].item() == pytest.approx(by_sequence(kl))
    assert sums["gap"].item() == pytest.approx((0.5 + 0.5) / 2 + (0.0 + 0.75 + 2.0) / 3)
    assert sums["weight"].item() == pytest.approx(
        by_sequence(lambda row, token: weight(row, token, 4.0))
    )
    free, count, _ = loss(*options, "objective.normalisation=length-free", longest=16)
    assert (free.item(), count.item()) == (pytest.approx(by_token(whole) / 16, rel=1e-5), 2)


def test_the_ratio_of_sequences_is_that_of_the_mean():
    total, _, _ = loss("objective.correction=none", "objective.ratio=sequence")
    means = [
        sum((NOW - OLD)[row, token].item() for token in tokens(row)) / LENGTHS[row]
        for row in (0, 1)
    ]
    assert total.item() == pytest.approx(-by_token(lambda r, t: term(r, t, log_ratio=means[r])))
