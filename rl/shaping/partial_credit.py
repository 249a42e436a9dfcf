"""The share of a problem's tests that a program passes, where it does not pass all of them.

Each test is judged by itself, in the sandbox, as a problem of one test. A test is an assert, or a
statement around asserts such as a loop, at the margin or in a function such as HumanEval's `check`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rl.problems.problem_set import Problem
from rl.rollouts.rewards import UNJUDGED, Reward
from seedbed.sandbox import CallTests, Job, Sandbox, StdioTests, Tests
from seedbed.sandbox.python_source import NOT_PYTHON


@dataclass(frozen=True)
class Judged:
    """A program, its problem, and the reward of its verdict on all tests together."""

    problem: Problem
    program: str
    reward: Reward


def single_tests(tests: Tests, most: int) -> list[Tests]:
    """Tests of one test each, in order: all, or `most` of them at equal distances.

    [] where the tests cannot be taken apart.
    """
    if isinstance(tests, StdioTests):
        return [tests.case(number) for number in _spread(list(range(len(tests.inputs))), most)]
    if isinstance(tests, CallTests):
        try:
            count = sum(1 for _ in units(ast.parse(tests.code)))
            numbers = _spread(list(range(count)), most)
            return [replace(tests, code=_only(tests.code, number)) for number in numbers]
        except NOT_PYTHON:
            return []
    return []


def with_fractions(sandbox: Sandbox, judged: Sequence[Judged], most: int) -> list[Reward]:
    """The rewards, with the share of passed tests as the value of a program that does not pass.

    The share stays below 1, since all tests together did not pass. Where the sandbox has no verdict
    on one of the tests, the sample is not counted. Tests that cannot be taken apart leave 0.
    """
    wanted: dict[tuple[Problem, str], list[Tests]] = {}
    for one in filter(_open, judged):
        key = one.problem, one.program
        wanted.setdefault(key, single_tests(one.problem.tests, most))
    jobs = [
        Job(problem.task_id, program, single, reference=problem.code)
        for (problem, program), singles in wanted.items()
        for single in singles
    ]
    verdicts = iter(list(sandbox.run(jobs)))
    found = {key: [next(verdicts) for _ in singles] for key, singles in wanted.items()}
    rewards = []
    for one in judged:
        mine = found[one.problem, one.program] if _open(one) else []
        lost = next((v for v in mine if v.verdict in UNJUDGED), None)
        reward = one.reward
        if lost is not None:
            reward = replace(reward, counted=False, verdict=lost.verdict, reason=lost.reason)
        elif mine:
            passed = sum(v.verdict == "pass" for v in mine)
            reward = replace(reward, value=min(passed, len(mine) - 1) / len(mine))
        rewards.append(reward)
    return rewards


def _open(one: Judged) -> bool:
    """Whether the verdict leaves a share of the tests to be asked for."""
    return one.reward.counted and one.reward.verdict != "pass" and not one.reward.malformed


def _spread[T](items: list[T], most: int) -> list[T]:
    if len(items) <= most:
        return items
    return [items[len(items) * i // most] for i in range(most)]


def units(module: ast.Module) -> Iterator[tuple[list[ast.stmt], ast.stmt]]:
    """(body, statement) of every test: those at the margin, then those of each function."""
    bodies = [module.body]
    while bodies:
        body = bodies.pop(0)
        for statement in body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                bodies.append(statement.body)
            elif any(isinstance(node, ast.Assert) for node in ast.walk(statement)):
                yield body, statement


def _only(code: str, number: int) -> str:
    """The test code with all tests but one taken out."""
    module = ast.parse(code)
    for place, (body, statement) in enumerate(list(units(module))):
        if place != number:
            body[body.index(statement)] = ast.copy_location(ast.Pass(), statement)
    return ast.unparse(module)
