"""LiveCodeBench (code_generation, code_generation_lite): public and packed private tests.

`public_test_cases` is JSON; `private_test_cases` is JSON, or base64 of zlib of a pickled JSON text.
A case is {input, output, testtype}, of which the type is "stdin" or "functional". The name of the
function is `func_name` in `metadata`.
"""

from __future__ import annotations

import json
from typing import Any

from conf.errors import SeedbedError
from seedbed.sandbox.checks.prelude import CONTEST
from seedbed.sandbox.formats import pickled
from seedbed.sandbox.formats.cases import case_tests
from seedbed.sandbox.formats.fields import Row, parsed, words
from seedbed.sandbox.formats.form import Form, Task

_PUBLIC, _PRIVATE = "public_test_cases", "private_test_cases"


def task(row: Row) -> Task:
    """The task of a row. Public cases come first, as in the benchmark's own runner."""
    cases = [*_cases(row, _PUBLIC), *_cases(row, _PRIVATE)]
    kinds = {case.get("testtype", "stdin") for case in cases}
    if len(kinds) > 1 or not kinds <= {"stdin", "functional"}:
        raise SeedbedError(
            f"Problem {row['task_id']!r} has cases of the types {sorted(map(str, kinds))}.",
            "Give all cases one testtype, stdin or functional.",
        )
    function = ""
    if kinds == {"functional"}:
        function = str((parsed(row, "metadata") or {}).get("func_name") or "")
        if not function.isidentifier():
            raise SeedbedError(
                f"Problem {row['task_id']!r} has functional cases, but no func_name in metadata.",
                'Give metadata like {"func_name": "twoSum"}.',
            )
    pairs = [(case.get("input"), case.get("output")) for case in cases]
    tests = case_tests(row, pairs, function, rule="decimals", prelude=CONTEST)
    return Task(asked(row), tests, date=str(row.get("contest_date") or "")[:10])


def asked(row: Row) -> str:
    """The question with its starter code, since that alone names a function."""
    question = words(row, "prompt", "question_content", "question", "problem")
    starter = words(row, "starter_code").strip("\n")
    if not starter.strip() or starter in question:
        return question
    return f"{question}\n\nUse this starter code:\n\n```python\n{starter}\n```"


def _cases(row: Row, field: str) -> list[dict[str, Any]]:
    value = row.get(field)
    if not value:
        return []
    if isinstance(value, str) and not value.lstrip().startswith("["):
        try:
            value = json.loads(pickled.unpacked(value))
        except ValueError as error:
            raise SeedbedError(
                f"Problem {row['task_id']!r} has {field} that cannot be read: {error}.",
                "Give JSON, or base64 of zlib of a pickled JSON text, as LiveCodeBench does.",
            ) from None
    found = parsed(row, field, value)
    if not isinstance(found, list) or not all(isinstance(case, dict) for case in found):
        raise SeedbedError(
            f"Problem {row['task_id']!r} has a {field} that is not a list of cases.",
            "Give a list of {input, output, testtype}.",
        )
    return found


FORM = Form("livecodebench", lambda row: _PUBLIC in row or _PRIVATE in row, task, ("question_id",))
