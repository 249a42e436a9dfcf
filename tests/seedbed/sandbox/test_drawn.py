"""Drawn programs and tests: the sandbox says what plain Python says."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from seedbed.sandbox import CallTests, Job, Limits, Sandbox, StdioTests
from seedbed.sandbox.comparison import judge_output
from tests.seedbed.sandbox import drawn, drawn_scripts


def _differences(count: int, seed: int) -> tuple[list[object], int, int]:
    """What differs from plain Python, and how many drawn tests hold and are unsupported."""
    pairs = drawn.draw(count, seed)
    ran = subprocess.run(
        [sys.executable, "-c", drawn.PLAIN], input=repr(pairs), capture_output=True, text=True
    )
    plain = ast.literal_eval(ran.stdout)
    with Sandbox(2, Limits(cpu_seconds=10.0, wall_seconds=60.0)) as sandbox:
        found = sandbox.run(Job(n, *pair_of(pair)) for n, pair in enumerate(pairs))
    unsupported = sum(verdict.verdict == "unsupported" for verdict in found)
    wrong = [
        (verdict, pair)
        for verdict, holds, pair in zip(found, plain, pairs, strict=True)
        if verdict.verdict not in (("pass", "unsupported") if holds else _NO_PASS)
    ]
    return wrong, sum(plain), unsupported


_NO_PASS = ("fail", "error", "unsupported")


def pair_of(pair: tuple[str, str]) -> tuple[str, CallTests]:
    program, tests = pair
    return program, CallTests(tests)


def test_sixty_drawn_programs_are_judged_as_plain_python_judges_them() -> None:
    wrong, holding, unsupported = _differences(60, 5)
    assert wrong == []
    assert 10 < holding < 55, "both kinds are drawn"
    assert unsupported <= 1


@pytest.mark.slow
def test_two_thousand_drawn_programs_are_judged_as_plain_python_judges_them() -> None:
    wrong, holding, unsupported = _differences(2000, 11)
    print(f"2,000 drawn: {holding} hold, {unsupported} unsupported, {len(wrong)} differ")
    assert wrong == []
    assert unsupported < 20


def _scripts_that_differ(count: int, seed: int) -> tuple[list[object], int]:
    """What differs between scripts here and in plain Python, and how many scripts are right."""
    pairs = drawn_scripts.draw(count, seed)
    runs = [(program, given) for program, tests in pairs for given in tests.inputs]
    printed = iter(drawn_scripts.plain(runs))
    right = []
    for _, tests in pairs:
        ends = [next(printed) for _ in tests.inputs]
        right.append(all(whole and _accepted(tests, n, s) for n, (s, whole) in enumerate(ends)))
    with Sandbox(2, Limits(cpu_seconds=10.0, wall_seconds=60.0)) as sandbox:
        found = sandbox.run(Job(n, *pair) for n, pair in enumerate(pairs))
    wrong: list[object] = [
        (verdict, pair)
        for verdict, holds, pair in zip(found, right, pairs, strict=True)
        if verdict.verdict not in (("pass",) if holds else ("fail", "error"))
    ]
    return wrong, sum(right)


def _accepted(tests: StdioTests, number: int, printed: str) -> bool:
    if tests.checker:
        return drawn_scripts.accepts(tests, number, printed)
    return judge_output(tests.outputs[number], tests.rule, printed)[0] == "pass"


def test_drawn_scripts_are_judged_by_what_plain_python_prints() -> None:
    wrong, holding = _scripts_that_differ(30, 3)
    assert wrong == []
    assert 5 < holding < 25, "both kinds are drawn"


@pytest.mark.slow
def test_three_hundred_drawn_scripts_are_judged_by_what_plain_python_prints() -> None:
    wrong, holding = _scripts_that_differ(300, 4)
    print(f"300 drawn scripts: {holding} right, {len(wrong)} differ")
    assert wrong == []
