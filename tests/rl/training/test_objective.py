"""Advantages, filters and losses: values worked out by hand, and properties of any input."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.training.objective import (
    STD_EPSILON,
    ClipRange,
    LossOptions,
    clipped_policy_loss,
    group_advantages,
    groups_with_signal,
    has_spread,
    kl_penalty,
    masked_cross_entropy,
    masked_importance_weights,
    preference_loss,
    samples_that_train,
    truncated_importance_weights,
)


def everything(rewards: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(rewards, dtype=torch.bool)


def test_advantages_of_one_correct_in_four():
    rewards = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    # Mean 1/4; squares (9 + 1 + 1 + 1) / 16 = 3/4; sample variance 3/4 / 3 = 1/4; std 1/2
    expected = torch.tensor([[1.5, -0.5, -0.5, -0.5]])
    torch.testing.assert_close(
        group_advantages(rewards, everything(rewards)), expected, atol=1e-5, rtol=0
    )


def test_a_group_of_equal_rewards_gets_exact_zeros():
    # In binary the mean of three times 0.1 is not 0.1.
    rewards = torch.tensor([[0.1] * 3, [1.0] * 3, [0.0] * 3])
    assert group_advantages(rewards, everything(rewards)).abs().sum() == 0


def test_a_sample_without_a_verdict_changes_nothing_for_the_others():
    rewards = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    counted = torch.tensor([[True, True, True, False]])
    three = torch.tensor([[1.0, 0.0, 0.0]])
    result = group_advantages(rewards, counted)
    torch.testing.assert_close(result[:, :3], group_advantages(three, everything(three)))
    assert result[0, 3] == 0


def test_a_group_with_one_verdict_has_no_signal():
    rewards, counted = torch.tensor([[1.0, 0.0]]), torch.tensor([[True, False]])
    assert group_advantages(rewards, counted).tolist() == [[0.0, 0.0]]
    assert not has_spread(rewards, counted).any()


groups = st.lists(
    st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.0]), st.booleans()), min_size=5, max_size=5),
    min_size=1,
    max_size=4,
)


@given(groups)
@settings(max_examples=100, deadline=None)
def test_advantages_have_mean_zero_and_std_one_or_are_all_zero(values):
    rewards = torch.tensor([[r for r, _ in group] for group in values])
    counted = torch.tensor([[c for _, c in group] for group in values])
    advantages = group_advantages(rewards, counted)
    assert advantages[~counted].abs().sum() == 0
    for row, mask, spread in zip(advantages, counted, has_spread(rewards, counted), strict=True):
        kept = row[mask]
        if spread:
            assert abs(kept.mean()) < 1e-5
            assert abs(kept.std() - 1) < 1e-3
        else:
            assert kept.abs().sum() == 0


@given(groups, st.permutations(range(5)))
@settings(max_examples=50, deadline=None)
def test_the_order_within_a_group_does_not_matter(values, order):
    rewards = torch.tensor([[r for r, _ in group] for group in values])
    counted = torch.tensor([[c for _, c in group] for group in values])
    moved = group_advantages(rewards[:, order], counted[:, order])
    torch.testing.assert_close(moved, group_advantages(rewards, counted)[:, order])


def test_groups_with_signal_drops_what_the_paper_drops():
    rewards = torch.tensor(
        [
            # All are correct.
            [1.0] * 8,
            # All are wrong.
            [0.0] * 8,
            # 7/8 = 87.5 % is not more than 87.5 %, so the group is kept.
            [1.0] * 7 + [0.0],
            [1.0] * 4 + [0.0] * 4,
        ]
    )
    malformed = torch.zeros_like(rewards, dtype=torch.bool)
    keep = groups_with_signal(rewards, everything(rewards), malformed, 0.875, True)
    assert keep.tolist() == [False, False, True, True]
    assert groups_with_signal(rewards, everything(rewards), malformed, 0.8, True).tolist() == [
        False,
        False,
        False,
        True,
    ]


def test_a_group_of_correct_and_malformed_answers_alone_is_dropped_when_asked():
    rewards = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    malformed = torch.tensor([[False, True, True], [False, True, False]])
    assert groups_with_signal(rewards, everything(rewards), malformed, 0.875, True).tolist() == [
        False,
        True,
    ]
    assert groups_with_signal(rewards, everything(rewards), malformed, 0.875, False).tolist() == [
        True,
        True,
    ]


def test_a_correct_share_is_of_the_verdicts_not_of_the_samples():
    # 8 of 9 verdicts are 88.9 %; 8 of 10 samples would be 80 %.
    rewards = torch.tensor([[1.0] * 8 + [0.0] * 2])
    counted = torch.tensor([[True] * 9 + [False]])
    malformed = torch.zeros_like(counted)
    assert groups_with_signal(rewards, counted, malformed, 0.875, True).tolist() == [False]


CLIP = ClipRange(0.2, 0.28)


def loss_of(ratio: float, advantage: float) -> tuple[float, float]:
    """The loss of one token and its gradient with respect to the log-probability."""
    logprobs = torch.tensor([[math.log(ratio)]], requires_grad=True)
    total, count, _ = clipped_policy_loss(
        logprobs, torch.zeros(1, 1), torch.tensor([advantage]), torch.ones(1, 1), CLIP
    )
    total.backward()
    assert count == 1
    return total.item(), logprobs.grad.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.0, 2.0, -2.0, -2.0),
        # Inside the range.
        (1.2, 1.0, -1.2, -1.2),
        # Above the upper bound: the gain is capped at 1.28.
        (1.5, 1.0, -1.28, 0.0),
        # A good sample that became less likely is never clipped.
        (0.5, 1.0, -0.5, -0.5),
        # A bad sample that is already unlikely enough: capped at 1 - 0.2.
        (0.5, -1.0, 0.8, 0.0),
        # A bad sample that became likelier is not clipped.
        (1.5, -1.0, 1.5, 1.5),
    ],
)
def test_policy_loss_by_hand(ratio, advantage, loss, gradient):
    assert loss_of(ratio, advantage) == pytest.approx((loss, gradient), abs=1e-6)


def test_policy_loss_normalises_by_tokens_not_by_sequences():
    logprobs = torch.zeros(2, 3)
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    total, count, sums = clipped_policy_loss(
        logprobs, logprobs, torch.tensor([1.0, -1.0]), mask, CLIP
    )
    # Three tokens at -1, one at +1, over four tokens: -1/2. By sequence it would be 0.
    assert (total / count).item() == -0.5
    assert (sums["clipped"].item(), sums["ratio"].item()) == (0, 4)


@pytest.mark.parametrize(
    ("normalisation", "total", "count"),
    [
        # Terms are -A at ratio 1: three of -2, one of +3, and a row that counts for nothing.
        ("token", -6.0 + 3.0, 4),
        # The means of the two sequences are -2 and +3.
        ("sequence", -2.0 + 3.0, 2),
        # The sums of the two sequences, over the constant 10.
        ("length-free", (-6.0 + 3.0) / 10, 2),
    ],
)
def test_normalisations_by_hand(normalisation, total, count):
    logprobs = torch.zeros(3, 3, requires_grad=True)
    mask = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    options = LossOptions(normalisation=normalisation, longest=10)
    loss, counted, sums = clipped_policy_loss(
        logprobs, logprobs.detach(), torch.tensor([2.0, -3.0, 7.0]), mask, CLIP, options
    )
    assert (loss.item(), counted.item()) == (pytest.approx(total), count)
    # Whatever the loss is divided by, the mean ratio of an unmoved policy is 1.
    assert (sums["ratio"] / counted).item() == pytest.approx(1.0)


def test_a_ratio_of_sequences_by_hand():
    # Log ratios 0.3 and 0.1 have the mean 0.2: exp(0.2) = 1.2214 is inside of the clip, though the
    # first token's own ratio, 1.35, is not.
    logprobs = torch.tensor([[0.3, 0.1, 9.0]], requires_grad=True)
    mask, advantage = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([2.0])
    options = LossOptions(ratio="sequence", normalisation="sequence")
    loss, count, sums = clipped_policy_loss(
        logprobs, torch.zeros(1, 3), advantage, mask, CLIP, options
    )
    loss.backward()
    assert (loss.item(), count.item()) == (pytest.approx(-2 * math.exp(0.2)), 1)
    # d/dx of -2 exp((x + y) / 2) is -exp(0.2).
    torch.testing.assert_close(logprobs.grad, torch.tensor([[-math.exp(0.2), -math.exp(0.2), 0.0]]))
    assert sums["clipped"] == 0
    # With the mean 0.4 the ratio 1.49 is above 1.28, and no token gets a gradient.
    far = torch.tensor([[0.7, 0.1, 9.0]], requires_grad=True)
    loss, _, sums = clipped_policy_loss(far, torch.zeros(1, 3), advantage, mask, CLIP, options)
    loss.backward()
    assert loss.item() == pytest.approx(-2 * 1.28)
    assert far.grad.abs().sum() == 0
    assert sums["clipped"].item() == 1.0


@pytest.mark.parametrize("normalisation", ["token", "sequence", "length-free"])
@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_sums_do_not_depend_on_micro_batches(ratio, normalisation):
    generator = torch.Generator().manual_seed(2)
    new, old, weights, penalty = (torch.randn(4, 5, generator=generator) / 4 for _ in range(4))
    advantages, mask = torch.tensor([1.5, -0.5, 0.75, -2.0]), torch.ones(4, 5)
    mask[0, 2:] = mask[2, :1] = 0
    mask[3] = 0

    def sums(rows: slice) -> list[float]:
        options = LossOptions(weights[rows].exp(), penalty[rows], ratio, normalisation, 6)
        loss, count, more = clipped_policy_loss(
            new[rows], old[rows], advantages[rows], mask[rows], CLIP, options
        )
        return [loss.item(), count.item(), *(value.item() for value in more.values())]

    apart = [sums(slice(i, i + 1)) for i in range(4)]
    assert sums(slice(0, 4)) == pytest.approx([sum(one) for one in zip(*apart, strict=True)])


def test_advantages_without_the_standard_deviation_are_differences_from_the_mean():
    rewards = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5]])
    advantages = group_advantages(rewards, everything(rewards), scale_by_std=False)
    assert advantages.tolist() == [[0.75, -0.25, -0.25, -0.25], [0.0] * 4]


@pytest.mark.parametrize(
    ("estimator", "value", "gradient"),
    [
        # d = log r - log p = ln 2 - 0. k1 = -d, and the gradient is k1 * grad log p.
        ("k1", -math.log(2), -math.log(2)),
        ("k2", math.log(2) ** 2 / 2, -math.log(2)),
        # exp(d) - 1 - d = 2 - 1 - ln 2, whose gradient is 1 - exp(d) = -1.
        ("k3", 1 - math.log(2), -1.0),
    ],
)
def test_kl_penalties_by_hand(estimator, value, gradient):
    logprobs = torch.tensor([[0.0, math.nan, -math.inf]], requires_grad=True)
    reference, mask = torch.tensor([[math.log(2), 0.0, math.inf]]), torch.tensor([[1, 0, 0]])
    penalty = kl_penalty(logprobs, reference, mask, estimator)
    penalty.sum().backward()
    assert penalty.tolist() == [[pytest.approx(value), 0.0, 0.0]]
    assert logprobs.grad.tolist() == [[pytest.approx(gradient), 0.0, 0.0]]


def test_kl_estimates_average_to_the_divergence():
    # Three tokens with probabilities p, of which the reference has r: the expectation of k1 and of
    # k3 is KL(p || r) = sum p log(p / r). That of k2 is only near it.
    p, r = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.4, 0.4, 0.2])
    exact = (p * (p / r).log()).sum().item()
    mask = torch.ones(1, 3)
    for estimator, tolerance in (("k1", 1e-6), ("k2", 0.1 * exact), ("k3", 1e-6)):
        values = kl_penalty(p.log()[None], r.log()[None], mask, estimator)
        assert (p * values[0]).sum().item() == pytest.approx(exact, abs=tolerance)


def test_weights_above_the_cap_are_masked_and_still_count():
    new = torch.tensor([[math.log(0.5), math.log(0.5), math.nan]])
    old = torch.tensor([[math.log(0.25), math.log(0.1), 0.0]])
    weights = masked_importance_weights(new, old, torch.tensor([[1, 1, 0]]), cap=3.0)
    assert weights.tolist() == [[pytest.approx(2.0), 0.0, 0.0]]
    mask, advantage = torch.ones(1, 2), torch.tensor([1.0])
    loss, count, _ = clipped_policy_loss(
        new[:, :2], new[:, :2], advantage, mask, CLIP, LossOptions(weights[:, :2])
    )
    assert (loss.item(), count.item()) == (pytest.approx(-2.0), 2)


@pytest.mark.parametrize("empty", [0, 1])
def test_a_pair_with_one_empty_side_prefers_nothing(empty):
    logprobs = torch.full((4, 3), -0.5, requires_grad=True)
    mask = torch.ones(4, 3)
    # The second pair: its chosen side is row 1, its rejected side row 3.
    mask[1 + 2 * empty] = 0
    loss, count, sums = preference_loss(logprobs, mask, torch.zeros(4), 0.3)
    loss.backward()
    assert count == 1
    assert sums["accuracy"] == 0
    assert logprobs.grad[[1, 3]].abs().sum() == 0
    assert logprobs.grad[[0, 2]].abs().sum() > 0


def test_masked_tokens_may_hold_anything():
    logprobs = torch.tensor([[0.0, -math.inf, math.nan]], requires_grad=True)
    old = torch.tensor([[0.0, 0.0, -math.inf]])
    mask = torch.tensor([[1.0, 0.0, 0.0]])
    total, count, _ = clipped_policy_loss(logprobs, old, torch.tensor([1.0]), mask, CLIP)
    total.backward()
    assert (total.item(), count.item()) == (-1.0, 1)
    assert logprobs.grad.tolist() == [[-1.0, 0.0, 0.0]]
    assert masked_cross_entropy(logprobs.detach(), mask)[0].item() == 0.0


@given(st.floats(-3, 3), st.floats(-2, 2))
@settings(max_examples=100, deadline=None)
def test_the_clipped_loss_is_never_below_the_plain_one(log_ratio, advantage):
    ratio = math.exp(log_ratio)
    assert loss_of(ratio, advantage)[0] >= -ratio * advantage - 1e-5


def test_on_policy_the_gradient_is_that_of_the_policy_gradient():
    logprobs = torch.randn(3, 4, requires_grad=True)
    advantages = torch.tensor([1.0, -2.0, 0.5])
    mask = torch.ones(3, 4)
    clipped_policy_loss(logprobs, logprobs.detach(), advantages, mask, CLIP)[0].backward()
    torch.testing.assert_close(logprobs.grad, -advantages[:, None].expand(3, 4))


def test_cross_entropy_counts_the_response_only():
    logprobs = torch.tensor([[-1.0, -2.0, -4.0]])
    total, count, _ = masked_cross_entropy(logprobs, torch.tensor([[0.0, 1.0, 1.0]]))
    assert (total.item(), count.item()) == (6.0, 2)


def test_overlong_and_unjudged_samples_and_groups_without_signal_do_not_train():
    signal = torch.tensor([True, False])
    finished = torch.tensor([[True, False, True], [True, True, True]])
    counted = torch.tensor([[True, True, False], [True, True, True]])
    assert samples_that_train(signal, counted, finished, True).tolist() == [
        [True, False, False],
        [False] * 3,
    ]
    assert samples_that_train(signal, counted, finished, False).tolist() == [
        [True, True, False],
        [False] * 3,
    ]


def test_the_epsilon_is_far_below_any_spread_of_zero_one_rewards():
    assert 0.001 * torch.tensor([1.0] + [0.0] * 63).std() > STD_EPSILON


def test_preference_loss_by_hand():
    logprobs = torch.tensor([[-0.25, -0.75, -9.0], [-1.0, -2.0, -9.0]], requires_grad=True)
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    total, count, sums = preference_loss(logprobs, mask, torch.tensor([-2.0, -2.5]), beta=0.5)
    # Chosen gained -1 - -2 = 1, rejected -3 - -2.5 = -1/2: margin 1/2 * 3/2 = 3/4, loss log(1 +
    # e^-3/4)
    assert total.item() == pytest.approx(math.log1p(math.exp(-0.75)), abs=1e-6)
    assert (count.item(), sums["accuracy"].item(), sums["margin"].item()) == (1, 1, 0.75)
    assert (sums["chosen_reward"].item(), sums["rejected_reward"].item()) == (0.5, -0.25)
    total.backward()
    slope = 0.5 / (1 + math.exp(0.75))
    torch.testing.assert_close(
        logprobs.grad, torch.tensor([[-slope, -slope, 0], [slope, slope, 0]])
    )


def test_the_first_preference_loss_is_exactly_ln_two():
    logprobs, mask = torch.randn(6, 9), torch.ones(6, 9)
    total, count, sums = preference_loss(logprobs, mask, logprobs.sum(1), beta=0.1)
    assert (total / count).item() == torch.tensor(math.log(2)).item()
    assert sums["accuracy"] == 0


def test_an_empty_pair_counts_for_nothing_and_may_hold_anything():
    logprobs, mask, reference = torch.randn(4, 3), torch.ones(4, 3), torch.randn(4)
    logprobs[1], logprobs[3] = math.nan, -math.inf
    mask[1], mask[3], reference[1], reference[3] = 0, 0, 0, 0
    alone = preference_loss(logprobs[::2], mask[::2], reference[::2], 0.3)
    both = preference_loss(logprobs, mask, reference, 0.3)
    assert both[1] == alone[1] == 1
    assert both[0] == alone[0]
    assert {name: value.item() for name, value in both[2].items()} == {
        n: v.item() for n, v in alone[2].items()
    }


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.01, 2))
@settings(max_examples=100, deadline=None)
def test_swapping_the_sides_of_a_pair_changes_the_loss_by_the_margin(chosen, rejected, beta):
    def loss(a, b):
        return preference_loss(torch.tensor([[a], [b]]), torch.ones(2, 1), torch.zeros(2), beta)[
            0
        ].item()

    # -log s(m) + log s(-m) = -m
    assert loss(chosen, rejected) - loss(rejected, chosen) == pytest.approx(
        -beta * (chosen - rejected), abs=1e-4
    )
    assert loss(chosen, rejected) > 0


def test_importance_weights_by_hand():
    new = torch.tensor([[math.log(0.5), math.log(0.5), math.nan]], requires_grad=True)
    old = torch.tensor([[math.log(0.25), math.log(0.1), 0.0]])
    weights = truncated_importance_weights(new, old, torch.tensor([[1, 1, 0]]), cap=3.0)
    assert weights.tolist() == [[pytest.approx(2.0), 3.0, 0.0]]
    assert not weights.requires_grad


@given(st.lists(st.floats(-4, 0), min_size=6, max_size=6), st.floats(1, 5))
@settings(max_examples=50, deadline=None)
def test_weights_lie_between_zero_and_the_cap_and_are_one_on_policy(values, cap):
    new, old, mask = torch.tensor([values[:3]]), torch.tensor([values[3:]]), torch.ones(1, 3)
    weights = truncated_importance_weights(new, old, mask, cap)
    assert bool(((weights >= 0) & (weights <= cap)).all())
    assert truncated_importance_weights(new, new, mask, cap).tolist() == [[1.0, 1.0, 1.0]]
