"""MBPP, also sanitised (`prompt`, `test_imports`) and MBPP+ of Hugging Face (`test`).

The tests are `test_list`, and with MBPP+ the program `test` after them. `code` is the solution.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys

from conf.errors import SeedbedError
from seedbed.sandbox import python_source
from seedbed.sandbox.checks import numpy_stub
from seedbed.sandbox.formats.fields import Row, text, texts, words
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.verdict import CallTests


def task(row: Row) -> Task:
    """The task of a row.

    Where the words do not name the wanted function, the prompt shows the tests, as MBPP's authors
    do (arXiv 2108.07732 Sec 4.1).
    """
    listed = texts(row, "test_list")
    code, solution = "\n".join(listed), str(row.get("code") or "")
    given = row.get("test_imports") or []
    if not isinstance(given, list) or not all(isinstance(line, str) for line in given):
        raise SeedbedError(
            f"Problem {row['task_id']!r} has a test_imports that is not a list of texts.",
            "Make test_imports a list of import statements.",
        )
    setup = _imports(code) + "".join(f"{line}\n" for line in given)
    setup += (row.get("test_setup_code") or "").replace("\r", "")
    tests = code
    if row.get("test"):
        more = text(row, "test")
        setup, tests = numpy_stub.stub(more) + setup, f"{code}\n{more}\n"
    names = _called(code)
    asked = words(row, "prompt", "text")
    if asked and not all(_is_named(name, asked) for name in names):
        asked = "\n".join([asked, "It must satisfy:", *listed])
    return Task(asked, CallTests(tests, setup, _shadowed(solution)), solution)


def _called(code: str) -> set[str]:
    """Names that the tests call and that Python does not have."""
    called = {
        node.func.id
        for node in python_source.nodes(code)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return called - set(dir(builtins)) - {"isclose"}


def _is_named(name: str, asked: str) -> bool:
    """Whether the words name a function as one: `name`, name(...) or def name."""
    name = re.escape(name)
    return bool(re.search(rf"\b{name}\s?\(|[`'\"]{name}[`'\"]|\bdef {name}\b", asked))


def _imports(code: str) -> str:
    """Imports of the standard modules whose attributes the tests of MBPP read.

    These tests rely on the program to import them (task 596).
    """
    # Of tests that are no Python the tester reports the fault.
    bases = {
        node.value.id
        for node in python_source.nodes(code)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    return "".join(f"import {name}\n" for name in sorted(bases & sys.stdlib_module_names))


def _shadowed(reference: str) -> tuple[str, ...]:
    """Built-in names that the reference defines as functions of its own.

    Task 126 of MBPP asks for a function `sum`.
    """
    return tuple(
        node.name
        for node in python_source.body(reference)
        if isinstance(node, ast.FunctionDef) and hasattr(builtins, node.name)
    )


FORM = Form("mbpp", has("test_list"), task, honours=("test_imports", "test_setup_code"))
