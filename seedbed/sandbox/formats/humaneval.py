"""HumanEval: `prompt`, `test` with a function check(candidate), and `entry_point`."""

from __future__ import annotations

import ast

from seedbed.sandbox.formats.fields import Row, text
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.verdict import CallTests


def task(row: Row) -> Task:
    """The task of a row. The model continues the prompt."""
    entry = text(row, "entry_point")
    check = f"{text(row, 'test')}\n\ncheck({entry})\n"
    prompt = str(row.get("prompt", ""))
    tests = CallTests(check, _helpers(prompt, entry))
    return Task(prompt, tests, continued_reference(row), stem=prompt)


def continued_reference(row: Row) -> str:
    """The prompt with its canonical solution; empty where the row has none."""
    if "canonical_solution" not in row:
        return ""
    return str(row.get("prompt", "")) + str(row["canonical_solution"])


def _helpers(prompt: str, entry: str) -> str:
    """The functions that a HumanEval prompt defines besides the one it asks for.

    The tests of tasks 32, 38 and 50 call them.
    """
    try:
        tree = ast.parse(prompt)
    except (SyntaxError, ValueError):
        # A prompt that ends inside a statement defines no helpers.
        return ""
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name == entry)
    ]
    return ast.unparse(tree)


FORM = Form("humaneval", has("test", "entry_point"), task)
