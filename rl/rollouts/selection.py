"""From judged samples to training examples: advantages, filters, statistics of a step. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from conf.schema.rl import GrpoConfig, RolloutStage
from rl.rollouts.rewards import mean_reward, shares
from rl.rollouts.sampler import Rollout, judged_row, token_row, turn_row
from rl.rollouts.turns import ENDS
from rl.shaping.terms import GroupFacts, shaped
from rl.training.batches import Example
from rl.training.objective import group_advantages, groups_with_signal, samples_that_train


@dataclass(frozen=True)
class Selection:
    """What a step trains on.

    advantages, rewards (with all terms), trains: one per rollout. signal: one per group. examples:
    the rollouts that train.
    """

    rewards: list[float]
    advantages: list[float]
    trains: list[bool]
    signal: list[bool]
    examples: list[Example]


def select(rollouts: Sequence[Rollout], cfg: GrpoConfig, stage: RolloutStage) -> Selection:
    """Advantages within groups of stage.samples rollouts, and the rollouts that train.

    A rollout trains where its group has signal, it has a verdict and, with cfg.mask_overlong, the
    length limit did not cut it off.
    """
    shape = (-1, stage.samples)
    rewards = torch.tensor([r.reward.value for r in rollouts]).view(shape)
    counted = torch.tensor([r.reward.counted for r in rollouts]).view(shape)
    malformed = torch.tensor([r.reward.malformed for r in rollouts]).view(shape)
    finished = torch.tensor([r.sample.finished for r in rollouts]).view(shape)
    correct = torch.tensor([r.reward.verdict == "pass" for r in rollouts]).view(shape)
    lengths = torch.tensor([r.sampled for r in rollouts]).view(shape)
    longest = torch.tensor([r.longest_answer for r in rollouts]).view(shape)
    facts = GroupFacts(lengths, longest, counted, correct, malformed)
    total = shaped(rewards, facts, cfg.reward, stage.max_response)
    advantages = group_advantages(total, counted, cfg.objective.scale_by_std)
    signal = groups_with_signal(
        rewards, counted, malformed, cfg.max_correct, cfg.drop_malformed_only, correct
    )
    trains = samples_that_train(signal, counted, finished, cfg.mask_overlong)
    flat = list(
        zip(rollouts, advantages.flatten().tolist(), trains.flatten().tolist(), strict=True)
    )
    examples = [
        Example(
            r.prompt,
            r.sample.tokens,
            {"advantage": advantage},
            {"engine_logprobs": r.sample.logprobs},
            r.mask,
        )
        for r, advantage, used in flat
        if used
    ]
    return Selection(
        total.flatten().tolist(),
        [a for _, a, _ in flat],
        [used for *_, used in flat],
        signal.tolist(),
        examples,
    )


def statistics(rollouts: Sequence[Rollout], selection: Selection) -> dict[str, Any]:
    """Statistics of a step that come from its rollouts, for metrics.jsonl."""
    counted = [
        total for total, r in zip(selection.rewards, rollouts, strict=True) if r.reward.counted
    ]
    return {
        "reward": mean_reward(r.reward for r in rollouts),
        "shaped_reward": sum(counted) / max(len(counted), 1),
        "groups": len(selection.signal),
        "groups_with_signal": sum(selection.signal),
        "samples_trained": sum(selection.trains),
        "shares": shares(r.reward for r in rollouts),
        "response_tokens": sum(r.sampled for r in rollouts) / len(rollouts),
        "finished": sum(r.sample.finished for r in rollouts) / len(rollouts),
        **turn_statistics(rollouts),
    }


def turn_statistics(rollouts: Sequence[Rollout]) -> dict[str, Any]:
    """What the turns of episodes came to; {} for samples that are no episodes.

    turns: answers per episode. masked_tokens: tokens per episode that the model was told.
    reward_after: for each turn, the mean reward by all tests of the program that an episode had by
    then; one that had ended keeps that of its last answer. ended: episodes by why they ended.
    """
    dialogues = [r.dialogue for r in rollouts if r.dialogue is not None]
    if not dialogues:
        return {}
    most = max(len(r.by_turn) for r in rollouts)
    ends = Counter(dialogue.ended for dialogue in dialogues)
    return {
        "turns": sum(len(r.by_turn) for r in rollouts) / len(rollouts),
        "masked_tokens": sum(len(r.sample.tokens) - r.sampled for r in rollouts) / len(rollouts),
        "reward_after": [
            mean_reward(r.by_turn[min(turn, len(r.by_turn) - 1)] for r in rollouts)
            for turn in range(most)
        ],
        "ended": {name: ends[name] for name in ENDS if ends[name]},
    }


def log_rows(
    rollouts: Sequence[Rollout], selection: Selection, step: int, policy: int
) -> list[dict[str, Any]]:
    """Rows of rollouts.jsonl, with all that judging or training on the samples again needs.

    step: the step that trains on them, from 1. policy: the number of steps that the weights had
    taken when they drew the samples.
    """
    return [
        {
            "step": step,
            "policy": policy,
            **judged_row(r),
            "reward": r.reward.value,
            "shaped_reward": total,
            "advantage": advantage,
            "trains": trains,
            **token_row(r),
            **turn_row(r),
        }
        for r, total, advantage, trains in zip(
            rollouts, selection.rewards, selection.advantages, selection.trains, strict=True
        )
    ]
