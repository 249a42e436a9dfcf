"""Says which package a program or its tests lack in the jail, and how it comes in.

A jail has the standard library and `sandbox.packages`. An import of anything else ends in an error
that names a module and no way out.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from seedbed.sandbox import python_source
from seedbed.sandbox.interpreter import Interpreter
from seedbed.sandbox.judge import Finding
from seedbed.sandbox.verdict import CallTests, Tests

_ABSENT = re.compile(r"No module named '([A-Za-z_]\w*)")
_ADVICE = "{} is not in the jail; bring it in by sandbox.packages=[{}], or --packages {}"
_ADVISED = re.compile(r"(\w+) is not in the jail; bring it in by")
_MODULES = "import json, pkgutil; print(json.dumps([m.name for m in pkgutil.iter_modules()]))"


def told(finding: Finding, tests: Tests, interpreter: Interpreter) -> Finding:
    """The finding, with advice where a package is missing.

    Where the tests themselves import it, no program can be judged, so it becomes `unsupported`.
    Where the program alone does, it stays an error. It then has advice if the package is installed
    beside the interpreter, and none for a module that nobody has.
    """
    found = _ABSENT.search(finding.reason)
    if found is None or finding.outcome not in ("fail", "error"):
        return finding
    name = found[1]
    if name in sys.stdlib_module_names:
        return finding
    advice = _ADVICE.format(name, name, name)
    if isinstance(tests, CallTests) and name in _needed(tests):
        reason = f"the tests import {name}. {advice} (it must be installed in {interpreter.path})"
        return replace(finding, outcome="unsupported", reason=reason)
    if name not in _installed(interpreter.path):
        return finding
    return replace(finding, reason=f"{finding.reason}. {advice}")


def named(reason: str) -> str:
    """The package that a verdict's reason advises to bring in; empty where it advises none."""
    found = _ADVISED.search(reason)
    return found[1] if found else ""


def _needed(tests: CallTests) -> set[str]:
    """The packages that tests import, but for those that they can do without."""
    nodes = [python_source.tree(text) for text in (tests.setup, tests.code)]
    every = [node for tree in nodes if tree is not None for node in ast.walk(tree)]
    tried = {inner for node in every if isinstance(node, ast.Try) for inner in ast.walk(node)}
    spare = {name for node in tried for name in _imports(node)}
    return {name for node in every for name in _imports(node)} - spare


def _imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.split(".")[0]


@cache
def _installed(python: str) -> frozenset[str]:
    """The modules that an interpreter finds; none where it does not tell."""
    try:
        ran = subprocess.run([python, "-I", "-c", _MODULES], capture_output=True, timeout=60)
        return frozenset(json.loads(ran.stdout))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return frozenset()
