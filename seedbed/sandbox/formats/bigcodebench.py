"""BigCodeBench: `test` with classes of unittest, `entry_point`, `complete_prompt`.

`instruct_prompt` asks in words, and `code_prompt` has the imports and the head of the function.
"""

from __future__ import annotations

import ast

from seedbed.sandbox import python_source
from seedbed.sandbox.checks import unit_tests
from seedbed.sandbox.formats.fields import Row, function_name, text, words
from seedbed.sandbox.formats.form import Form, Task


def task(row: Row) -> Task:
    """The task of a row. Without words to ask in, a model continues `complete_prompt`."""
    entry = function_name(row, "entry_point")
    head = words(row, "code_prompt", "complete_prompt")
    # A head that no body follows is no Python. The benchmark's own harness does the same.
    prelude = head + "\n    pass\n"
    prelude = prelude if _defines(prelude, entry) else ""
    tests = unit_tests.classes(text(row, "test"), prelude)
    instruction, start = words(row, "instruct_prompt", "prompt"), words(row, "complete_prompt")
    stem = "" if instruction or not prelude else start
    return Task(instruction or start, tests, _reference(row, entry), stem)


def _reference(row: Row, entry: str) -> str:
    """The solution as a whole program; empty where the row's parts make none."""
    body = words(row, "canonical_solution")
    heads = (words(row, "complete_prompt"), words(row, "code_prompt"), "")
    return next((head + body for head in heads if body and _defines(head + body, entry)), "")


def _defines(code: str, entry: str) -> bool:
    body = python_source.body(code)
    return any(isinstance(node, ast.FunctionDef) and node.name == entry for node in body)


def _fits(row: Row) -> bool:
    test = str(row.get("test"))
    return "entry_point" in row and "unittest" in test and "def check(" not in test


FORM = Form("bigcodebench", _fits, task)
