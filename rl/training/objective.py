"""Post-training losses and advantages: tensors in, tensors out, nothing else.

A loss is (sum over the counted tokens, number of counted tokens, further sums). The trainer divides
by the tokens of the whole step, so the result does not depend on micro-batches or processes. This
is the token-level normalisation of DAPO (arXiv 2503.14476 Sec 3.3). There is no KL term, as in
Seed-Coder (arXiv 2506.03524 Sec 3.2).
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


def group_advantages(rewards: Tensor, counted: Tensor) -> Tensor:
    """(r - mean) / std within each group (GRPO, DeepSeekMath arXiv 2402.03300 Sec 4.1.2).

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
    return torch.where(
        has_spread(rewards, counted)[:, None],
        centred / (std + STD_EPSILON),
        torch.zeros_like(centred),
    )


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
) -> Tensor:
    """bool [groups]: which groups train (Seed-Coder Sec 3.2). All tensors are [groups, samples].

    Dropped are:
        groups whose counted rewards are all equal;
        groups with more than max_correct (paper: 0.875) of their counted samples correct, where
            correct means reward 1;
        with drop_malformed_only, groups in which every counted sample is correct or malformed (no
            program to run), because only the format could be learned from them.
    """
    correct = (rewards >= 1) & counted
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
    log_ratio = torch.where(
        mask > 0, logprobs.detach() - behaviour_logprobs, torch.zeros_like(logprobs)
    )
    return log_ratio.exp().clamp(max=cap) * mask.to(logprobs.dtype)


def clipped_policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip: ClipRange,
    weights: Tensor | None = None,
) -> LossSums:
    """-w * min(ratio * A, clip(ratio) * A) summed over the tokens in mask.

    PPO's clipped surrogate (arXiv 1707.06347 eq. 7) with DAPO's separate upper bound (arXiv
    2503.14476 Sec 3.1).

    logprobs (with gradient), old_logprobs: float [b, s], of the sampled tokens at the sampling
        temperature.
    advantages: [b].
    mask: [b, s], 0 for prompts, padding and everything else that must not count.
    weights: [b, s] without gradient; 1 where not given.

    Further sums: clipped (tokens whose gradient the clip took away), ratio, and gap (|logprobs -
    old_logprobs|, which is rounding alone in the first step after a rollout).
    """
    weight = mask.to(logprobs.dtype)
    # Masked positions may hold anything, infinities included, so they are zeroed before exp.
    log_ratio = torch.where(weight > 0, logprobs - old_logprobs, torch.zeros_like(logprobs))
    ratio = log_ratio.exp()
    advantage = advantages[:, None]
    plain = ratio * advantage
    bounded = ratio.clamp(1 - clip.low, 1 + clip.high) * advantage
    with torch.no_grad():
        sums = {
            "clipped": ((bounded < plain) * weight).sum(),
            "ratio": (ratio * weight).sum(),
            "gap": (log_ratio.abs() * weight).sum(),
        }
    scaled = weight if weights is None else weight * weights
    return -(torch.minimum(plain, bounded) * scaled).sum(), weight.sum().to(torch.int), sums


def sequence_logprobs(logprobs: Tensor, mask: Tensor) -> Tensor:
    """log p of each response: logprobs [b, s] summed over the tokens in mask [b, s]; [b]."""
    return torch.where(mask > 0, logprobs, torch.zeros_like(logprobs)).sum(1)


def preference_loss(logprobs: Tensor, mask: Tensor, reference: Tensor, beta: float) -> LossSums:
    """DPO's -log sigmoid(margin), summed over the pairs (arXiv 2305.18290 eq. 7).

    margin = beta * ((log p - log r)(chosen) - (log p - log r)(rejected)).

    logprobs, mask: [2n, s], n chosen responses and then the n rejected ones in the same order.
    reference: [2n], log r of each response under the model that training started from. The first
        loss is therefore ln 2.

    Counts pairs, not tokens; a pair whose mask is empty does not count. Further sums: accuracy
    (pairs whose chosen response gained more), margin, and the implicit rewards of both sides, beta
    * (log p - log r).
    """
    rewards = beta * (sequence_logprobs(logprobs, mask) - reference)
    chosen, rejected = rewards.chunk(2)
    counts = (mask.sum(1) > 0).chunk(2)[0].to(logprobs.dtype)
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
