"""HumanEval, and HumanEval+ of Hugging Face: `prompt`, `entry_point`, `test` with check()."""

from __future__ import annotations

import ast

from seedbed.sandbox import python_source
from seedbed.sandbox.checks import numpy_stub
from seedbed.sandbox.formats.fields import Row, text
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.verdict import CallTests


def task(row: Row) -> Task:
    """The task of a row. The model continues the prompt."""
    entry, test = text(row, "entry_point"), text(row, "test")
    prompt = str(row.get("prompt", ""))
    reference = prompt + str(row["canonical_solution"]) if "canonical_solution" in row else ""
    # The name is looked up before the tests define `check`, which may be the program's name, too.
    code = f"_entry = {entry}\n{test}\n\ncheck(_entry)\n"
    tests = CallTests(code, numpy_stub.stub(test) + _helpers(prompt, entry), (entry,))
    return Task(prompt, tests, reference, stem=prompt)


def _helpers(prompt: str, entry: str) -> str:
    """The functions that a HumanEval prompt defines besides the one it asks for.

    The tests of tasks 32, 38 and 50 call them.
    """
    tree = python_source.tree(prompt)
    if tree is None:
        # A prompt that ends inside a statement defines no helpers.
        return ""
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name == entry)
    ]
    return ast.unparse(tree)


FORM = Form("humaneval", has("test", "entry_point"), task)
