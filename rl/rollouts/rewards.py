"""Programs -> rewards, from the sandbox's verdicts.

A reward is 1 for the verdict pass and 0 for any other verdict on the program. There is none where
the sandbox has no verdict (infrastructure).
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conf.errors import SeedbedError
from rl.problems.problem_set import Problem
from rl.rollouts.reasoning import answer_of
from seedbed.sandbox import Job, Limits, Sandbox
from seedbed.sandbox.reference import UNFIT

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
# The leading white space holds no line breaks. Otherwise a completion of many empty lines would
# cost the square of their number.
_DEFINITION = re.compile(r"^[^\S\n]*(?:async\s+)?(?:def|class)\s|\blambda\b", re.MULTILINE)

# Verdict -> name of its share in logs. All other verdicts on a program count as `error`.
SHARES = {"pass": "pass", "fail": "wrong", "timeout": "timeout", "infrastructure": "infrastructure"}


@dataclass(frozen=True)
class Reward:
    """The reward of one sample, and the verdict behind it.

    value: 1.0 or 0.0. counted: False where the sandbox has no verdict (infrastructure); such a
    sample must not train. malformed: the completion holds no program to run.
    """

    value: float
    counted: bool
    malformed: bool
    verdict: str
    reason: str


def extract_program(completion: str) -> str:
    """The program in a chat reply.

    That is the last fenced block, closed or cut off, of what follows the chain of thought. Without
    a fence it is all that follows the chain of thought.
    """
    answer = answer_of(completion)
    blocks = _FENCE.findall(answer)
    return blocks[-1] if blocks else answer


def score(sandbox: Sandbox, problems: Sequence[Problem], programs: Sequence[str]) -> list[Reward]:
    """Rewards of programs[i] for problems[i], in order.

    The same program for the same problem is judged once. A problem's own solution is judged first,
    and the limits grow where it is slow. A problem whose solution fails is named on stderr, and its
    programs are not counted.
    """
    distinct = list(dict.fromkeys(zip(problems, programs, strict=True)))
    jobs = (Job(p.task_id, program, p.tests, reference=p.code) for p, program in distinct)
    verdicts = dict(zip(distinct, sandbox.run(jobs), strict=True))
    for task, reason in {
        v.task_id: v.reason for v in verdicts.values() if v.reason.startswith(UNFIT)
    }.items():
        print(f"dropped: task {task!r}: {reason}", file=sys.stderr)
    rewards = []
    for pair in zip(problems, programs, strict=True):
        verdict = verdicts[pair]
        rewards.append(
            Reward(
                value=float(verdict.verdict == "pass"),
                counted=verdict.verdict != "infrastructure",
                # The sandbox runs no program longer than this.
                malformed=_DEFINITION.search(pair[1], 0, Limits.program_bytes) is None,
                verdict=verdict.verdict,
                reason=verdict.reason,
            )
        )
    return rewards


def failing_references(sandbox: Sandbox, problems: Sequence[Problem]) -> dict[str, str]:
    """task_id -> reason, for every problem whose own solution does not pass its tests.

    Raises:
        SeedbedError: where the sandbox has no verdict on a solution. An outage must not drop a
            problem for good.
    """
    judged = list(zip(problems, score(sandbox, problems, [p.code for p in problems]), strict=True))
    for problem, reward in judged:
        if not reward.counted:
            raise SeedbedError(
                f"the sandbox has no verdict on the solution of {problem.task_id}: {reward.reason}",
                "`python -m seedbed.sandbox check` tells what this machine gives; then run again",
            )
    return {p.task_id: f"{r.verdict}: {r.reason}" for p, r in judged if r.verdict != "pass"}


def shares(rewards: Iterable[Reward]) -> dict[str, float]:
    """Shares of pass, wrong, error (every other failure), timeout, infrastructure; the sum is 1."""
    counts = Counter(SHARES.get(reward.verdict, "error") for reward in rewards)
    total = max(counts.total(), 1)
    return {
        name: counts[name] / total
        for name in ("pass", "wrong", "error", "timeout", "infrastructure")
    }


def mean_reward(rewards: Iterable[Reward]) -> float:
    """Mean over the counted rewards; 0.0 where there is none."""
    values = [reward.value for reward in rewards if reward.counted]
    return sum(values) / max(len(values), 1)
