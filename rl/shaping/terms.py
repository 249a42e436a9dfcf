"""Terms that are added to the rewards of a step's groups. Pure; all tensors are [groups, samples].

They shape advantages alone. Whether a group has a signal is asked of the rewards without them, so
that no group trains whose samples differ in length or format only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from conf.schema.rl import RewardConfig


@dataclass(frozen=True)
class GroupFacts:
    """What the terms read of each sample: bool tensors, and lengths in tokens.

    lengths: all that the model sampled. longest_answers: the longest of its answers, which is the
    same where it answers once.
    """

    lengths: Tensor
    longest_answers: Tensor
    counted: Tensor
    correct: Tensor
    malformed: Tensor


def overlong_penalty(lengths: Tensor, longest: int, cache: int) -> Tensor:
    """DAPO's soft overlong punishment (arXiv 2503.14476 eq. 13), from 0 to -1.

    0 up to longest - cache tokens, then falling in a line to -1 at `longest`, and -1 beyond.
    """
    if not cache:
        return torch.zeros_like(lengths, dtype=torch.float32)
    return ((longest - cache - lengths) / cache).clamp(-1, 0)


def length_preference(facts: GroupFacts) -> Tensor:
    """Kimi k1.5's length reward (arXiv 2501.12599 Sec 2.3.3), from -1/2 to 1/2.

    1/2 - (length - shortest) / (longest - shortest) in a group for a correct sample. A wrong one
    gets the same but at most 0. All get 0 where the counted samples have one length.
    """
    lengths = facts.lengths.float()
    shortest = lengths.masked_fill(~facts.counted, torch.inf).amin(1, keepdim=True)
    longest = lengths.masked_fill(~facts.counted, -torch.inf).amax(1, keepdim=True)
    spread = longest - shortest
    value = 0.5 - (lengths - shortest) / spread.clamp(min=1)
    value = torch.where(facts.correct, value, value.clamp(max=0))
    return torch.where((spread > 0) & facts.counted, value, torch.zeros_like(value))


def shaped(rewards: Tensor, facts: GroupFacts, cfg: RewardConfig, longest: int) -> Tensor:
    """Rewards with all terms of the settings; `longest` is the limit of an answer in tokens."""
    return (
        rewards
        + overlong_penalty(facts.longest_answers, longest, cfg.overlong_cache)
        + cfg.length_weight * length_preference(facts)
        - cfg.malformed_penalty * facts.malformed.float()
    )
