"""From a problem to judged samples: prompt, seed, generation, program, verdict, reward.

GRPO's rollout worker, DPO's pair sampler and the evaluation all go this way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from conf.errors import SeedbedError
from rl.problems.problem_set import Problem
from rl.rollouts import rewards
from rl.rollouts.rewards import Reward
from seedbed.inference.chat import Chat
from seedbed.inference.engine import AnyEngine, Sample, Sampling, sample_seed
from seedbed.sandbox import Sandbox


@dataclass(frozen=True)
class Query:
    """One completion that is asked for.

    continues: the completion goes on with the text of the prompt (HumanEval), and is no reply to
    it.
    """

    problem: Problem
    prompt: list[int]
    seed: int
    continues: bool = False


@dataclass(frozen=True)
class Rollout:
    """One judged sample. Rollouts of one problem stand side by side, in the order of drawing."""

    problem: Problem
    prompt: list[int]
    sample: Sample
    completion: str
    reward: Reward


class Sampler:
    """Draws samples from an engine and has the sandbox judge them. It owns neither of the two."""

    def __init__(self, engine: AnyEngine, sandbox: Sandbox, chat: Chat):
        self._engine, self._sandbox, self.chat = engine, sandbox, chat

    def draw(self, queries: Sequence[Query], sampling: Sampling) -> list[Sample]:
        """One sample per query, in order."""
        prompts, seeds = [q.prompt for q in queries], [q.seed for q in queries]
        return self._engine.generate(prompts, seeds, sampling)

    def judge(self, queries: Sequence[Query], samples: Sequence[Sample]) -> list[Rollout]:
        """The samples of the queries, in order, with the sandbox's verdicts."""
        texts = [self._text(q, sample) for q, sample in zip(queries, samples, strict=True)]
        programs = [program(q, text) for q, text in zip(queries, texts, strict=True)]
        judged = rewards.score(self._sandbox, [q.problem for q in queries], programs)
        return [
            Rollout(q.problem, q.prompt, sample, text, reward)
            for q, sample, text, reward in zip(queries, samples, texts, judged, strict=True)
        ]

    def _text(self, query: Query, sample: Sample) -> str:
        # Stop strings cut the engine's text, but not its tokens.
        return sample.text if query.continues else self.chat.decode(sample.tokens)


def queries(
    problems: Sequence[Problem],
    samples: int,
    prompt: Callable[[Problem], list[int]],
    seed: int,
    *parts: int,
) -> list[Query]:
    """`samples` queries for each problem, side by side, that ask for a reply to prompt(problem).

    Each has a seed that depends on (seed, *parts, task_id, number of the sample) alone.
    """
    found = []
    for problem in problems:
        ids, task = prompt(problem), problem.task_id
        seeds = [sample_seed(seed, *parts, task, number) for number in range(samples)]
        found += [Query(problem, ids, each) for each in seeds]
    return found


def short_prompt(chat: Chat, problem: Problem, limit: int) -> list[int]:
    """Token ids of a problem's chat prompt.

    Raises:
        SeedbedError: where it has more than `limit` tokens.
    """
    ids = chat.prompt(problem.prompt)
    if len(ids) > limit:
        raise SeedbedError(
            f"the prompt of {problem.task_id} has {len(ids)} tokens, max_prompt={limit}",
            "raise max_prompt or leave the problem out",
        )
    return ids


def program(query: Query, completion: str) -> str:
    """The program that the sandbox runs for a completion."""
    if query.continues:
        return query.problem.prompt + completion
    return rewards.extract_program(completion)


def judged_row(rollout: Rollout) -> dict[str, Any]:
    """What every record of a rollout says of it."""
    return {
        "task_id": rollout.problem.task_id,
        "prompt": rollout.problem.prompt,
        "completion": rollout.completion,
        "verdict": rollout.reward.verdict,
        "reason": rollout.reward.reason,
    }


def token_row(rollout: Rollout) -> dict[str, Any]:
    """What training on a recorded rollout needs."""
    return {
        "finished": rollout.sample.finished,
        "prompt_tokens": rollout.prompt,
        "tokens": rollout.sample.tokens,
        "logprobs": [round(value, 6) for value in rollout.sample.logprobs],
    }
