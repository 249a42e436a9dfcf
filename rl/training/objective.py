"""Post-training losses and advantages: tensors in, tensors out, nothing else.

Losses come as (sum over the counted tokens, how many counted, further sums), so that whoever trains
divides by the tokens of the whole step and the result does not depend on micro-batches or
processes: the token-level normalisation of DAPO (arXiv 2503.14476 Sec 3.3). There is no KL term
(Seed-Coder, arXiv 2506.03524 Sec 3.2).
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

LossSums = tuple[Tensor, Tensor, dict[str, Tensor]]

# Added to the standard deviation before dividing, as verl and TRL do in kind (1e-6 and 1e-4).
STD_EPSILON = 1e-6


def group_advantages(rewards: Tensor, counted: Tensor) -> Tensor:
    """(r - mean) / std within each group (GRPO, DeepSeekMath arXiv 2402.03300 Sec 4.1.2).

    rewards float [groups, samples]; counted bool [groups, samples], False for a sample that has no
    verdict: it enters neither mean nor std and gets advantage 0. std is the sample standard
    deviation (n - 1), as in verl and TRL. A group whose counted rewards are all equal, or that
    counts fewer than two, gets zeros. Returns float [groups, samples].
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
    """bool [groups]: at least two different counted rewards. Compares values, not a rounded std, so
    equal rewards never pass.
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
    """Which groups train (Seed-Coder Sec 3.2): bool [groups].

    Dropped: groups whose rewards are all equal; groups with more than max_correct (paper: 0.875) of
    their counted samples correct, where correct is reward 1; with drop_malformed_only, groups in
    which every counted sample is either correct or malformed (no program to run), because only the
    format could be learned from them. All arguments [groups, samples].
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
    """min(p / b, cap) at the tokens in mask, 0 elsewhere, without gradient: b sampled the tokens, p
    trains on them.

    Truncation bounds the variance (Ionides 2008, "Truncated importance sampling"); TRL's
    `token_truncate`. All [b, s].
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
    clip_low: float,
    clip_high: float,
    weights: Tensor | None = None,
) -> LossSums:
    """-w * min(ratio * A, clip(ratio, 1 - clip_low, 1 + clip_high) * A) summed over the tokens in
    mask.

    PPO's clipped surrogate (arXiv 1707.06347 eq. 7) with DAPO's separate upper bound (arXiv
    2503.14476 Sec 3.1). logprobs (with gradient) and old_logprobs float [b, s], of the sampled
    tokens, at the sampling temperature; advantages [b]; mask [b, s], 0 for prompts, padding and
    everything that must not count; weights [b, s] without gradient, 1 if not given.
    Further sums: clipped (tokens where the clip took the gradient away), ratio, and gap (|logprobs
    - old_logprobs|, which is rounding alone in the first step after a rollout).
    """
    weight = mask.to(logprobs.dtype)
    # Masked places may hold anything, infinities included: zero them before exp, not after.
    log_ratio = torch.where(weight > 0, logprobs - old_logprobs, torch.zeros_like(logprobs))
    ratio = log_ratio.exp()
    advantage = advantages[:, None]
    plain = ratio * advantage
    bounded = ratio.clamp(1 - clip_low, 1 + clip_high) * advantage
    with torch.no_grad():
        sums = {
            "clipped": ((bounded < plain) * weight).sum(),
            "ratio": (ratio * weight).sum(),
            "gap": (log_ratio.abs() * weight).sum(),
        }
    scaled = weight if weights is None else weight * weights
    return -(torch.minimum(plain, bounded) * scaled).sum(), weight.sum().to(torch.int), sums


def sequence_logprobs(logprobs: Tensor, mask: Tensor) -> Tensor:
    """log p of each response: logprobs [b, s] summed over the tokens in mask [b, s] -> [b]."""
    return torch.where(mask > 0, logprobs, torch.zeros_like(logprobs)).sum(1)


def preference_loss(logprobs: Tensor, mask: Tensor, reference: Tensor, beta: float) -> LossSums:
    """-log sigmoid(beta * ((log p - log r)(chosen) - (log p - log r)(rejected))) summed over the
    pairs: DPO (arXiv 2305.18290 eq. 7).

    logprobs, mask [2n, s]: n chosen responses, then the n rejected ones in the same order;
    reference [2n]: log r of each response under the model that training started from, so the first
    loss is ln 2. A pair whose mask is empty does not count. What is counted are pairs. Further
    sums: accuracy (pairs whose chosen response gained more), margin, and the implicit rewards of
    both sides, beta * (log p - log r).
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
    """-log p summed over the tokens in mask, both [b, s]: SFT's loss, with a mask that holds the
    responses only.
    """
    kept = torch.where(mask > 0, logprobs, torch.zeros_like(logprobs))
    return -kept.sum(), (mask > 0).sum().to(torch.int), {}


def samples_that_train(
    signal: Tensor, counted: Tensor, finished: Tensor, mask_overlong: bool
) -> Tensor:
    """bool [groups, samples]: those of groups with signal [groups] that have a verdict (counted)
    and, with mask_overlong, were not cut off by the length limit (finished): DAPO's overlong
    filtering (arXiv 2503.14476 Sec 3.4). They still shape the advantages.
    """
    trains = signal[:, None] & counted
    return trains & finished if mask_overlong else trains
