"""Which tests of a problem a model may see: the first ones, as tests of their own. Pure.

Tests are taken apart as in rl/shaping/partial_credit.py: asserts, statements around asserts, cases
of stdin. What follows the last visible test is left out with the hidden ones, because it may
compute with their inputs.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from functools import lru_cache

from conf.schema.rl import EnvironmentConfig
from rl.problems.problem_set import Problem
from rl.shaping.partial_credit import units
from seedbed.sandbox import CallTests, StdioTests, Tests
from seedbed.sandbox.python_source import NOT_PYTHON

_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class VisibleTests:
    """Tests that hold the visible ones alone, the text of each, and of each hidden one."""

    tests: Tests
    texts: tuple[str, ...]
    hidden: tuple[str, ...] = ()


@lru_cache(maxsize=1 << 14)
def visible(tests: Tests, count: int) -> VisibleTests | None:
    """The first `count` tests; None where they cannot be taken apart or would be all there are."""
    if isinstance(tests, StdioTests):
        if len(tests.inputs) <= count:
            return None
        first = tests.first(count)
        cases = zip(first.inputs, first.outputs, strict=True)
        return VisibleTests(first, tuple(f"Input:\n{i}\nOutput:\n{o}" for i, o in cases))
    if isinstance(tests, CallTests):
        try:
            module = ast.parse(tests.code)
        except NOT_PYTHON:
            return None
        every = [statement for _, statement in units(module)]
        texts = tuple(ast.unparse(statement) for statement in every[:count])
        hidden = tuple(ast.get_source_segment(tests.code, s) or "" for s in every[count:])
        if not hidden:
            return None
        _leave_out_the_rest(module, count)
        return VisibleTests(replace(tests, code=ast.unparse(module)), texts, hidden)
    return None


def asked_in_turns(problem: Problem, cfg: EnvironmentConfig) -> Problem:
    """The problem as an environment of several turns asks it: its prompt quotes no hidden test.

    MBPP's prompts list all tests where their words do not name the function.
    """
    found = visible(problem.tests, cfg.visible_tests) if cfg.max_turns > 1 else None
    prompt = problem.prompt
    for text in found.hidden if found is not None else ():
        prompt = re.sub(rf"\n[ \t]*{re.escape(text)}[ \t]*(?=\n|\Z)", "", prompt)
    return replace(problem, prompt=prompt)


def _leave_out_the_rest(module: ast.Module, count: int) -> None:
    """Takes the tests behind the first `count` out of a module."""
    found = list(units(module))
    shown = {id(statement) for _, statement in found[:count]}
    hidden = {id(statement) for _, statement in found[count:]}
    bodies = {id(body): body for body, _ in found[count:]}
    for body in bodies.values():
        last = max((i for i, statement in enumerate(body) if id(statement) in shown), default=-1)
        rest = [s for s in body[last + 1 :] if isinstance(s, _DEFINES) and id(s) not in hidden]
        body[last + 1 :] = rest or [ast.Pass()]
