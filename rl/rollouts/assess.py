"""The score of a model on problems: samples, verdicts, pass@k. Used by rl.evaluate and GRPO."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl.evaluation import scores
from rl.problems.problem_set import Problem
from rl.rollouts import rewards
from rl.rollouts.sampler import Query, Rollout, Sampler, chat_prompt
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


def assess(sampler: Sampler, chosen: Sequence[Problem], how: AssessSettings) -> dict[str, Any]:
    """Draws samples for each problem, has them judged, and counts.

    Seeds depend on the task and on the number of the sample alone, so two models meet the same
    draws. A prompt that leaves no room for max_tokens is cut from the left, and stderr says so.

    Returns pass_at {"pass@k": value} and its intervals; reward, the mean over samples with a
    verdict; shares of verdicts; and items with task_id, prompt, reference and, for each sample,
    completion, verdict and reason.
    """
    asked = _queries(sampler, chosen, how)
    sampling = Sampling(how.temperature, how.max_tokens, [sampler.chat.end_id])
    judged = sampler.judge(asked, sampler.draw(asked, sampling))
    groups = [judged[i : i + how.samples] for i in range(0, len(judged), how.samples)]
    items = [_item(group) for group in groups]
    return {
        "samples": how.samples,
        "temperature": how.temperature,
        "reward": rewards.mean_reward(rollout.reward for rollout in judged),
        **scores.summary(items),
        "shares": rewards.shares(rollout.reward for rollout in judged),
        "items": items,
    }


def save(result: dict[str, Any], path: Path) -> None:
    """Writes an evaluation as JSON, whole or not at all."""
    write_whole(path, json.dumps(result, indent=1) + "\n")


def _queries(sampler: Sampler, chosen: Sequence[Problem], how: AssessSettings) -> list[Query]:
    chat, room = sampler.chat, how.max_length - how.max_tokens
    asked, longest = [], 0
    for problem in chosen:
        continues = problem.continues and not how.chat
        ids = chat.plain(problem.prompt) if continues else chat_prompt(chat, problem)
        longest = max(longest, len(ids))
        for number in range(how.samples):
            seed = sample_seed(how.seed, problem.task_id, number)
            asked.append(Query(problem, ids[-room:], seed, continues))
    if longest > room:
        print(
            f"note: prompts of up to {longest} tokens are cut from the left to "
            f"{how.max_length} - {how.max_tokens} = {room}",
            file=sys.stderr,
        )
    return asked


def _item(group: Sequence[Rollout]) -> dict[str, Any]:
    problem = group[0].problem
    return {
        "task_id": problem.task_id,
        "prompt": problem.prompt,
        "reference": problem.code,
        "samples": [
            {"completion": r.completion, "verdict": r.reward.verdict, "reason": r.reward.reason}
            for r in group
        ],
    }
