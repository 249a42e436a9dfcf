"""Which demonstrations a model may learn: those whose program passes, and that fit.

The program of a demonstration is taken by the rule that takes it from a sample, so that what is
learnt is what is rewarded.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from rl.problems import problem_set
from rl.problems.problem_set import Problem, Row
from rl.rollouts import rewards
from rl.rollouts.sampler import chat_prompt
from seedbed.inference.chat import Chat
from seedbed.sandbox import Sandbox


def verified(sandbox: Sandbox, rows: Sequence[Row]) -> tuple[list[Row], dict[str, str]]:
    """The rows of problems whose demonstrations pass, and task_id -> reason of the others.

    A row keeps those of its responses that pass. How many are left out is said on stderr.
    """
    problems = [problem_set.parse(row) for row in rows]
    empty = [p.task_id for p in problems if not any(p.demonstrations)]
    unfit = dict.fromkeys(empty, "it has neither a solution nor a response")
    asked = [p for p in problems if p.task_id not in unfit]
    unfit |= rewards.failing_references(sandbox, asked)
    texts = [(p, text) for p in asked if p.task_id not in unfit for text in p.demonstrations]
    programs = [rewards.program_of(p, text) for p, text in texts]
    judged = rewards.score_again(sandbox, [p for p, _ in texts], programs)
    passing: dict[str, list[str]] = {}
    failing: dict[str, str] = {}
    for (problem, text), reward in zip(texts, judged, strict=True):
        if reward.verdict == "pass":
            passing.setdefault(problem.task_id, []).append(text)
        else:
            failing.setdefault(problem.task_id, f"{reward.verdict}: {reward.reason}")
    for task, told in failing.items():
        if task not in passing:
            unfit[task] = f"no demonstration of it passes: {told}"
    lost = len(texts) - sum(map(len, passing.values()))
    if lost:
        print(f"{lost} of {len(texts)} demonstrations do not pass: left out", file=sys.stderr)
    kept = []
    for row, problem in zip(rows, problems, strict=True):
        if problem.task_id not in unfit:
            short = problem.responses and list(problem.responses) != passing[problem.task_id]
            kept.append({**row, "responses": passing[problem.task_id]} if short else row)
    return kept, unfit


def short(
    problems: Sequence[Problem], chat: Chat, max_length: int
) -> tuple[list[Problem], dict[str, str]]:
    """The problems with those demonstrations that fit, and task_id -> reason of what does not.

    max_length: tokens of prompt and response together.
    """
    kept, reasons = [], {}
    for problem in problems:
        prompt = len(chat_prompt(chat, problem))
        sizes = [(text, prompt + len(chat.response(text))) for text in problem.demonstrations]
        fitting = tuple(text for text, size in sizes if size <= max_length)
        long = [size for _, size in sizes if size > max_length]
        if long:
            reasons[problem.task_id] = (
                f"{len(long)} of its {len(sizes)} demonstrations have up to {max(long)} tokens "
                f"with their prompt, max_length={max_length}"
            )
        if fitting:
            kept.append(replace(problem, responses=fitting) if problem.responses else problem)
    return kept, reasons
