"""CodeContests: `public_tests`, `private_tests` and `generated_tests`, each {input, output} lists.

Outputs are compared word by word, without regard to case, and numbers within a tolerance.
`time_limit` is a Duration, `memory_limit_bytes` a number.
"""

from __future__ import annotations

from typing import Any

from conf.errors import SeedbedError
from seedbed.sandbox.formats.cases import case_tests, paired
from seedbed.sandbox.formats.fields import Row, words
from seedbed.sandbox.formats.form import Form, Task

_PARTS = ("public_tests", "private_tests", "generated_tests")


def task(row: Row) -> Task:
    """The task of a row, with all three parts of its tests."""
    pairs = [pair for part in _PARTS for pair in _pairs(row, row.get(part))]
    return Task(words(row, "prompt", "description"), case_tests(row, pairs, "", rule="words"))


def _pairs(row: Row, tests: Any) -> list[tuple[Any, Any]]:
    if not tests:
        return []
    if isinstance(tests, dict):
        return paired(row, tests.get("input"), tests.get("output"))
    if isinstance(tests, list) and all(isinstance(case, dict) for case in tests):
        return [(case.get("input"), case.get("output")) for case in tests]
    raise SeedbedError(
        f"Problem {row['task_id']!r} has tests that are not input and output.",
        'Give {"input": [...], "output": [...]}.',
    )


FORM = Form("codecontests", lambda row: any(part in row for part in _PARTS), task, ("name",))
