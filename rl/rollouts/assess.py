"""The score of a model on problems: samples, verdicts, pass@k. Used by rl.evaluate and GRPO."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conf.schema.rl import EnvironmentConfig
from rl.environments.player import Player
from rl.environments.registry import open_environment
from rl.environments.visible import asked_in_turns
from rl.evaluation import scores
from rl.problems.problem_set import Problem
from rl.rollouts import rewards
from rl.rollouts.sampler import Query, Rollout, Sampler, chat_prompt, turn_row
from rl.rollouts.selection import turn_statistics
from seedbed.files import write_whole
from seedbed.inference.engine import Sampling, sample_seed


@dataclass(frozen=True)
class AssessSettings:
    """How a model is scored: completions per problem, temperature (0 is greedy), lengths, seed.

    max_tokens: of a completion. max_length: of prompt and completion together. chat: problems that
    ask for the continuation of their prompt (HumanEval) are asked in the chat template, too.
    """

    samples: int
    temperature: float
    max_tokens: int
    max_length: int
    seed: int
    chat: bool = False
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)


def assess(sampler: Sampler, chosen: Sequence[Problem], how: AssessSettings) -> dict[str, Any]:
    """Draws samples for each problem, has them judged, and counts.

    Seeds depend on the task and on the number of the sample alone, so two models meet the same
    draws. A problem whose prompt leaves no room for max_tokens is not asked, since a cut prompt has
    lost its beginning. Its samples are `unsupported`, with the reason, so the scores name it.
    stderr says how many there are.

    Returns pass_at {"pass@k": value} and its intervals; reward, the mean over samples with a
    verdict; shares of verdicts; and items with task_id, prompt, reference and, for each sample,
    completion, verdict and reason.
    """
    chosen = [asked_in_turns(problem, how.environment) for problem in chosen]
    asked, long = _queries(sampler, chosen, how)
    sampling = Sampling(how.temperature, how.max_tokens, [sampler.chat.end_id])
    with open_environment(how.environment) as environment:
        player = Player(sampler, environment, how.max_length)
        judged = player.judge(asked, player.play(asked, sampling))
    groups = (judged[i : i + how.samples] for i in range(0, len(judged), how.samples))
    items = [
        _unasked(problem, long[problem.task_id], how.samples)
        if problem.task_id in long
        else _item(next(groups))
        for problem in chosen
    ]
    return {
        "samples": how.samples,
        "temperature": how.temperature,
        "reward": rewards.mean_reward(rollout.reward for rollout in judged),
        **scores.summary(items),
        "shares": rewards.shares(rollout.reward for rollout in judged),
        **turn_statistics(judged),
        "items": items,
    }


def save(result: dict[str, Any], path: Path) -> None:
    """Writes an evaluation as JSON, whole or not at all."""
    write_whole(path, json.dumps(result, indent=1) + "\n")


def _queries(
    sampler: Sampler, chosen: Sequence[Problem], how: AssessSettings
) -> tuple[list[Query], dict[str, str]]:
    """What is asked, and task_id -> reason of the problems that are too long."""
    chat, room = sampler.chat, how.max_length - how.max_tokens
    asked: list[Query] = []
    long: dict[str, str] = {}
    for problem in chosen:
        continues = problem.continues and not how.chat and how.environment.max_turns == 1
        ids = chat.plain(problem.prompt) if continues else chat_prompt(chat, problem)
        if len(ids) > room:
            long[problem.task_id] = (
                f"its prompt has {len(ids)} tokens, and there is room for "
                f"{how.max_length} - {how.max_tokens} = {room}"
            )
            continue
        for number in range(how.samples):
            seed = sample_seed(how.seed, problem.task_id, number)
            asked.append(Query(problem, ids, seed, continues))
    if long:
        print(
            f"note: {len(long)} of {len(chosen)} problems are too long and are not asked; "
            f"{next(iter(long))}: {next(iter(long.values()))}",
            file=sys.stderr,
        )
    return asked, long


def _unasked(problem: Problem, reason: str, samples: int) -> dict[str, Any]:
    empty = {"completion": "", "verdict": "unsupported", "reason": reason}
    return {
        "task_id": problem.task_id,
        "prompt": problem.prompt,
        "reference": problem.code,
        "samples": [empty] * samples,
    }


def _item(group: Sequence[Rollout]) -> dict[str, Any]:
    problem = group[0].problem
    return {
        "task_id": problem.task_id,
        "prompt": problem.prompt,
        "reference": problem.code,
        "samples": [
            {
                "completion": r.completion,
                "verdict": r.reward.verdict,
                "reason": r.reward.reason,
                **_turns(r),
            }
            for r in group
        ],
    }


def _turns(rollout: Rollout) -> dict[str, Any]:
    """What an item says of an episode with several answers."""
    row = turn_row(rollout)
    several = bool(row.get("earlier"))
    return {name: row[name] for name in ("ended", "turn_rewards", "earlier")} if several else {}
