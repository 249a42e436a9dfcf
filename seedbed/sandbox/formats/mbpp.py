"""MBPP: `text` and `test_list`, with `code` as the solution."""

from __future__ import annotations

import ast
import builtins
import sys

from seedbed.sandbox.formats.fields import Row, texts
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.verdict import CallTests


def task(row: Row) -> Task:
    """The task of a row. Only the tests name the wanted function, so the prompt shows them.

    MBPP's authors do so, too (arXiv 2108.07732 Sec 4.1).
    """
    listed = texts(row, "test_list")
    code, solution = "\n".join(listed), str(row.get("code") or "")
    setup = _imports(code) + (row.get("test_setup_code") or "").replace("\r", "")
    asked = str(row.get("text") or "")
    prompt = row["prompt"] if "prompt" in row else "\n".join([asked, "It must satisfy:", *listed])
    return Task(prompt, CallTests(code, setup, _shadowed(solution)), solution)


def _imports(code: str) -> str:
    """Imports of the standard modules whose attributes the tests of MBPP read.

    These tests rely on the program to import them (task 596).
    """
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError):
        # The tester reports the fault.
        return ""
    bases = {
        node.value.id
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    return "".join(f"import {name}\n" for name in sorted(bases & sys.stdlib_module_names))


def _shadowed(reference: str) -> tuple[str, ...]:
    """Built-in names that the reference defines as functions of its own.

    Task 126 of MBPP asks for a function `sum`.
    """
    try:
        body = ast.parse(reference).body
    except (SyntaxError, ValueError):
        return ()
    return tuple(
        node.name
        for node in body
        if isinstance(node, ast.FunctionDef) and hasattr(builtins, node.name)
    )


FORM = Form("mbpp", has("test_list"), task)
