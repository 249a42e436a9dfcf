"""Post-training losses and advantages: tensors in, tensors out, nothing else.

A loss is (sum, what is counted, further sums). The trainer divides by the count of the whole step,
so the result does not depend on micro-batches or processes. Counted are tokens, which is the
token-level normalisation of DAPO (arXiv 2503.14476 Sec 3.3), or sequences where LossOptions say so.
Without options the policy's loss is that of Seed-Coder (arXiv 2506.03524 Sec 3.2), without KL.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

LossSums = tuple[Tensor, Tensor, dict[str, Tensor]]

# Added to the standard deviation before dividing, as verl and TRL do in kind (1e-6 and 1e-4).
STD_EPSILON = 1e-6


@dataclass(frozen=True)
class ClipRange:
    """The ratio of new to old probability is clipped to [1 - low, 1 + high]."""

    low: float
    high: float


@dataclass(frozen=True)
class LossOptions:
    """What clipped_policy_loss does beyond the recipe. The defaults change nothing.

    weights: [b, s] without gradient, which multiply a token's term (importance weights).
    penalty: [b, s], added to a token's term after the weights, as TRL does (a KL penalty).
    ratio: "token", or "sequence" for GSPO's s_i = exp(mean log ratio), which all tokens of a
        sequence share (arXiv 2507.18071 eq. 7).
    normalisation: what the sum is divided by. "token": all counted tokens. "sequence": the mean
        over sequences of their mean over tokens (GRPO, arXiv 2402.03300 eq. 3). "length-free": the
        sum over tokens / `longest`, a constant, in the mean over sequences (Dr. GRPO, arXiv
        2503.20783 Sec 3.2).
    """

    weights: Tensor | None = None
    penalty: Tensor | None = None
    ratio: str = "token"
    normalisation: str = "token"
    longest: int = 1


def group_advantages(rewards: Tensor, counted: Tensor, scale_by_std: bool = True) -> Tensor:
    """(r - mean) / std within each group (GRPO, DeepSeekMath arXiv 2402.03300 Sec 4.1.2).

    Without scale_by_std it is r - mean: the std weighs easy and hard problems up (Dr. GRPO, arXiv
    2503.20783 Sec 3.1).

    rewards: float [groups, samples]. counted: bool [groups, samples], False for a sample without a
    verdict, which enters neither mean nor std and gets advantage 0. std is the sample standard
    deviation (n - 1), as in verl and TRL. A group gets zeros where its counted rewards are all
    equal or fewer than two. Returns float [groups, samples].
    """
    weight = counted.to(rewards.dtype)
    number = weight.sum(1, keepdim=True)
    mean = (rewards * weight).sum(1, keepdim=True) / number.clamp(min=1)
    centred = (rewards - mean) * weight
    std = (centred.square().sum(1, keepdim=True) / (number - 1).clamp(min=1)).sqrt()
    scaled = centred / (std + STD_EPSILON) if scale_by_std else centred
    return torch.where(has_spread(rewards, counted)[:, None], scaled, torch.zeros_like(centred))


def has_spread(rewards: Tensor, counted: Tensor) -> Tensor:
    """bool [groups]: whether at least two counted rewards of a group differ.

    Compares values and not a rounded std, so that equal rewards never pass.
    """
    highest = rewards.masked_fill(~counted, -torch.inf).amax(1)
    lowest = rewards.masked_fill(~counted, torch.inf).amin(1)
    return highest > lowest


def groups_with_signal(
    rewards: Tensor,
    counted: Tensor,
    malformed: Tensor,
    max_correct: float,
    drop_malformed_only: bool,
    correct: Tensor | None = None,
) -> Tensor:
    """bool [groups]: which groups train (Seed-Coder Sec 3.2). All tensors are [groups, samples].

    correct: which samples are right, where a reward says more than that; else reward 1 is right.

    Dropped are:
        groups whose counted rewards are all equal;
        groups with more than max_correct (paper: 0.875) of their counted samples correct;
        with drop_malformed_only, groups in which every counted sample is correct or malformed (no
            program to run), because only the format could be learned from them.
    """
    correct = (rewards >= 1 if correct is None else correct) & counted
    share = correct.sum(1) / counted.sum(1).clamp(min=1)
    keep = has_spread(rewards, counted) & (share <= max_correct)
    if drop_malformed_only:
        keep &= (counted & ~correct & ~malformed).any(1)
    return keep


def truncated_importance_weights(
    logprobs: Tensor, behaviour_logprobs: Tensor, mask: Tensor, cap: float
) -> Tensor:
    """min(p / b, cap) at the tokens in mask and 0 elsewhere, without gradient; all [b, s].

    b is the policy that sampled the tokens, p the one that trains on them. Truncation bounds the
    variance (Ionides 2008, "Truncated importance sampling"); TRL calls it `token_truncate`.
    """
    return _importance(logprobs, behaviour_logprobs, mask).clamp(max=cap)


def masked_importance_weights(
    logprobs: Tensor, behaviour_logprobs: Tensor, mask: Tensor, cap: float
) -> Tensor:
    """p / b where that is at most `cap`, and 0 elsewhere; otherwise as the truncated weights.

    Such a token gets no gradient but still counts in the mean, as in TRL's `token_mask`.
    """
    weights = _importance(logprobs, behaviour_logprobs, mask)
    return torch.where(weights <= cap, weights, torch.zeros_like(weights))


def _importance(logprobs: Tensor, behaviour_logprobs: Tensor, mask: Tensor) -> Tensor:
    difference = logprobs.detach() - behaviour_logprobs
    log_ratio = torch.where(mask > 0, difference, torch.zeros_like(difference))
    return log_ratio.exp() * mask.to(difference.dtype)


def kl_penalty(logprobs: Tensor, reference: Tensor, mask: Tensor, estimator: str) -> Tensor:
    """Estimate of KL(p || r) at each sampled token in mask, 0 elsewhere; [b, s], with gradient.

    With d = log r - log p, Schulman's estimators ("Approximating KL divergence", 2020) are
        k1 = -d,  k2 = d^2 / 2,  k3 = exp(d) - 1 - d.

    The gradient of k1 itself is zero in expectation (arXiv 2506.09477 Sec 3). So k1 has its value
    and the gradient k1 * grad log p, which is that of the KL it estimates, for each token alone.
    """
    difference = reference - logprobs
    d = torch.where(mask > 0, difference, torch.zeros_like(difference))
    if estimator == "k2":
        return d.square() / 2
    if estimator == "k3":
        return d.exp() - 1 - d
    return (d.detach() - d).exp() * -d.detach()


def mean_weights(mask: Tensor, normalisation: str) -> tuple[Tensor, Tensor]:
    """([b, s], count): sum(weights * x) / count over all micro-batches is the mean of x.

    It is the mean over tokens for "token", and else the mean over sequences of theirs. A sequence
    with an empty mask counts for nothing.
    """
    weight = mask.float()
    if normalisation == "token":
        return weight, weight.sum().to(torch.int)
    lengths = weight.sum(1, keepdim=True)
    return weight / lengths.clamp(min=1), (lengths > 0).sum().to(torch.int)


def clipped_policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip: ClipRange,
    options: LossOptions = LossOptions(),
) -> LossSums:
    """-min(ratio * A, clip(ratio) * A) summed over the tokens in mask.

    PPO's clipped surrogate (arXiv 1707.06347 eq. 7) with DAPO's separate upper bound (arXiv
    2503.14476 Sec 3.1).

    logprobs (with gradient), old_logprobs: float [b, s], of the sampled tokens at the sampling
        temperature. Both are the trainer's: a difference between trainer and engine is no step of
        the policy, and enters by options.weights alone.
    advantages: [b].
    mask: [b, s], 0 for prompts, padding and everything else that must not count.

    Further sums: clipped (tokens whose gradient the clip took away) and ratio, under mean_weights.
    """
    weight = mask.to(logprobs.dtype)
    # Masked positions may hold anything, infinities included, so they are zeroed before exp.
    log_ratio = torch.where(weight > 0, logprobs - old_logprobs, torch.zeros_like(logprobs))
    if options.ratio == "sequence":
        lengths = weight.sum(1, keepdim=True).clamp(min=1)
        log_ratio = (log_ratio.sum(1, keepdim=True) / lengths).expand_as(log_ratio)
    ratio = log_ratio.exp()
    advantage = advantages[:, None]
    plain = ratio * advantage
    bounded = ratio.clamp(1 - clip.low, 1 + clip.high) * advantage
    terms = -torch.minimum(plain, bounded)
    if options.weights is not None:
        terms = terms * options.weights
    if options.penalty is not None:
        terms = terms + options.penalty
    means, count = mean_weights(mask, options.normalisation)
    shares = weight / options.longest if options.normalisation == "length-free" else means
    with torch.no_grad():
        sums = {"clipped": ((bounded < plain) * means).sum(), "ratio": (ratio * means).sum()}
    return (terms * shares).sum(), count, sums


def sequence_logprobs(logprobs: Tensor, mask: Tensor) -> Tensor:
    """log p of each response: logprobs [b, s] summed over the tokens in mask [b, s]; [b]."""
    return torch.where(mask > 0, logprobs, torch.zeros_like(logprobs)).sum(1)


def preference_loss(logprobs: Tensor, mask: Tensor, reference: Tensor, beta: float) -> LossSums:
    """DPO's -log sigmoid(margin), summed over the pairs (arXiv 2305.18290 eq. 7).

    margin = beta * ((log p - log r)(chosen) - (log p - log r)(rejected)).

    logprobs, mask: [2n, s], n chosen responses and then the n rejected ones in the same order.
    reference: [2n], log r of each response under the model that training started from. The first
        loss is therefore ln 2.

    Counts pairs, not tokens; a pair does not count where either side's mask is empty, since it
    prefers nothing. Further sums: accuracy (pairs whose chosen response gained more), margin, and
    the implicit rewards of both sides, beta * (log p - log r).
    """
    rewards = beta * (sequence_logprobs(logprobs, mask) - reference)
    chosen, rejected = rewards.chunk(2)
    whole = torch.stack((mask.sum(1) > 0).chunk(2)).all(0)
    counts = whole.to(logprobs.dtype)
    margin = chosen - rejected
    with torch.no_grad():
        sums = {
            "accuracy": ((margin > 0) * counts).sum(),
            "margin": (margin * counts).sum(),
            "chosen_reward": (chosen * counts).sum(),
            "rejected_reward": (rejected * counts).sum(),
        }
    return -(functional.logsigmoid(margin) * counts).sum(), counts.sum().to(torch.int), sums


def masked_cross_entropy(logprobs: Tensor, mask: Tensor) -> LossSums:
    """SFT's loss: -log p summed over the tokens in mask, both [b, s].

    The mask holds the responses only.
    """
    kept = torch.where(mask > 0, logprobs, torch.zeros_like(logprobs))
    return -kept.sum(), (mask > 0).sum().to(torch.int), {}


def samples_that_train(
    signal: Tensor, counted: Tensor, finished: Tensor, mask_overlong: bool
) -> Tensor:
    """bool [groups, samples]: the samples with a verdict, of the groups with signal [groups].

    With mask_overlong, a sample that the length limit cut off does not train: DAPO's overlong
    filtering (arXiv 2503.14476 Sec 3.4). It still shapes the advantages.
    """
    trains = signal[:, None] & counted
    return trains & finished if mask_overlong else trains
