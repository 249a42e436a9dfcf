"""From judged samples to what trains: advantages, filters, and the figures of a step. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from conf.schema.rl import GrpoConfig
from rl.problems.problem_set import Problem
from rl.rollouts.rewards import Reward, mean_reward, shares
from rl.training.batches import Example
from rl.training.objective import group_advantages, groups_with_signal, samples_that_train
from seedbed.inference.engine import Sample


@dataclass(frozen=True)
class Rollout:
    """One judged sample. Rollouts of one problem stand together, in the order they were drawn."""

    problem: Problem
    prompt: list[int]
    sample: Sample
    completion: str
    reward: Reward


@dataclass(frozen=True)
class Selection:
    """advantages and trains: one each rollout; signal: one each group; examples: the rollouts that
    train.
    """

    advantages: list[float]
    trains: list[bool]
    signal: list[bool]
    examples: list[Example]


def select(rollouts: Sequence[Rollout], cfg: GrpoConfig, samples: int) -> Selection:
    """Advantages within groups of `samples`, and which rollouts train: those of groups with signal
    that have a verdict and, with cfg.mask_overlong, ended by themselves.
    """
    shape = (-1, samples)
    rewards = torch.tensor([r.reward.value for r in rollouts]).view(shape)
    counted = torch.tensor([r.reward.counted for r in rollouts]).view(shape)
    malformed = torch.tensor([r.reward.malformed for r in rollouts]).view(shape)
    finished = torch.tensor([r.sample.finished for r in rollouts]).view(shape)
    advantages = group_advantages(rewards, counted)
    signal = groups_with_signal(
        rewards, counted, malformed, cfg.max_correct, cfg.drop_malformed_only
    )
    trains = samples_that_train(signal, counted, finished, cfg.mask_overlong)
    flat = list(
        zip(rollouts, advantages.flatten().tolist(), trains.flatten().tolist(), strict=True)
    )
    examples = [
        Example(
            r.prompt, r.sample.tokens, {"advantage": advantage}, {"old_logprobs": r.sample.logprobs}
        )
        for r, advantage, used in flat
        if used
    ]
    return Selection(
        [a for _, a, _ in flat], [used for *_, used in flat], signal.tolist(), examples
    )


def statistics(rollouts: Sequence[Rollout], selection: Selection) -> dict[str, Any]:
    """The figures of a step that come from its rollouts."""
    return {
        "reward": mean_reward(r.reward for r in rollouts),
        "groups": len(selection.signal),
        "groups_with_signal": sum(selection.signal),
        "samples_trained": sum(selection.trains),
        "shares": shares(r.reward for r in rollouts),
        "response_tokens": sum(len(r.sample.tokens) for r in rollouts) / len(rollouts),
        "finished": sum(r.sample.finished for r in rollouts) / len(rollouts),
    }


def log_rows(
    rollouts: Sequence[Rollout], selection: Selection, step: int, policy: int
) -> list[dict[str, Any]]:
    """Rows of rollouts.jsonl: everything that is needed to judge the samples again or to train on
    them.

    step: the step that trains on them, from 1; policy: how many steps the weights that drew them
    had taken.
    """
    return [
        {
            "step": step,
            "policy": policy,
            "task_id": r.problem.task_id,
            "prompt": r.problem.prompt,
            "completion": r.completion,
            "verdict": r.reward.verdict,
            "reason": r.reward.reason,
            "reward": r.reward.value,
            "advantage": advantage,
            "trains": trains,
            "finished": r.sample.finished,
            "prompt_tokens": r.prompt,
            "tokens": r.sample.tokens,
            "logprobs": [round(value, 6) for value in r.sample.logprobs],
        }
        for r, advantage, trains in zip(
            rollouts, selection.advantages, selection.trains, strict=True
        )
    ]
