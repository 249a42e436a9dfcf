"""Benchmark rows to jobs: HumanEval, EvalPlus, MBPP and stdin/stdout cases, told apart by their fields."""

from __future__ import annotations

import ast
import builtins
import sys
from typing import Any

from conf.errors import SeedbedError
from rl.sandbox.verdict import CallTests, Job, StdioTests

Row = dict[str, Any]


def job(problem: Row, sample: Row) -> Job:
    """The job of one sample of a problem. Raises SeedbedError for rows that lack a field or hold another type.

    A sample has `completion` (HumanEval: what follows the prompt; elsewhere the program) or `solution` (always a whole program).
    """
    task = problem["task_id"]
    continues_prompt = "prompt" in problem and "entry_point" in problem
    if "solution" in sample:
        program = _text(sample, "solution", "sample", task)
    else:
        program = _text(sample, "completion", "sample", task)
        if continues_prompt:
            program = _text(problem, "prompt", "problem", task) + program
    return Job(task, program, tests(problem))


def tests(problem: Row) -> CallTests | StdioTests:
    """The trusted side of a problem. Raises SeedbedError for an unknown format."""
    task = problem["task_id"]
    if "base_input" in problem and "entry_point" in problem:
        return _evalplus(problem, task)
    if "test" in problem and "entry_point" in problem:
        entry = _text(problem, "entry_point", "problem", task)
        check = f"{_text(problem, 'test', 'problem', task)}\n\ncheck({entry})\n"
        return CallTests(check, _helpers(problem.get("prompt", ""), entry))
    if "test_list" in problem:
        code = "\n".join(_texts(problem, "test_list", task))
        setup = _imports(code) + (problem.get("test_setup_code") or "").replace("\r", "")
        return CallTests(code, setup, _shadowed(problem.get("code", "")))
    if "inputs" in problem and "outputs" in problem:
        inputs, outputs = _texts(problem, "inputs", task), _texts(problem, "outputs", task)
        if len(inputs) != len(outputs):
            raise SeedbedError(
                f"Problem {task!r} has {len(inputs)} inputs but {len(outputs)} outputs.", "Give one output per input."
            )
        return StdioTests(inputs, outputs)
    raise SeedbedError(
        f"Problem {task!r} is of no known format (fields: {', '.join(sorted(problem))}).",
        "Give `test` and `entry_point` (HumanEval), `base_input` and `entry_point` (EvalPlus), "
        "`test_list` (MBPP), or `inputs` and `outputs` (stdin/stdout).",
    )


# EvalPlus' own rule (evalplus/eval/__init__.py): equal, or close where floats are expected. Expected is what the reference gives.
_EVALPLUS = """
import copy as _copy
import math as _math

_scope = {{"__name__": "reference"}}
exec(compile({reference!r}, "<reference>", "exec"), _scope)
_reference = _scope[{entry!r}]


def _floats(value):
    return isinstance(value, float) or (
        isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(item, float) for item in value)
    )


def _close(got, want, atol):
    if isinstance(want, (list, tuple)):
        return type(got) is type(want) and len(got) == len(want) and all(map(_close, got, want, [atol] * len(want)))
    return got == want or _math.isclose(got, want, rel_tol=1e-7, abs_tol=atol)
"""
_EVALPLUS_CASES = """
for _given in {inputs!r}:
    _want = _reference(*_copy.deepcopy(_given))
    _got = {entry}(*_copy.deepcopy(_given))
    _atol = {atol!r} or (1e-6 if _floats(_want) else 0)
    assert _got == _want or (_atol and type(_got) is type(_want) and _close(_got, _want, _atol)), (_given, _got, _want)
"""


def _evalplus(problem: Row, task: Any) -> CallTests:
    """Base and plus inputs, each given to the program and to the reference. Both run on the trusted side's terms: the reference
    in the tester. The few tasks for which EvalPlus has a rule of its own in code are judged by equality."""
    entry = _text(problem, "entry_point", "problem", task)
    if not entry.isidentifier():
        raise SeedbedError(f"Problem {task!r} has entry_point = {entry!r:.80}.", "Give the name of a function.")
    reference = _text(problem, "prompt", "problem", task) + _text(problem, "canonical_solution", "problem", task)
    inputs = [*problem["base_input"], *(problem.get("plus_input") or [])]
    cases = _EVALPLUS_CASES.format(inputs=inputs, entry=entry, atol=float(problem.get("atol") or 0))
    return CallTests(cases, _EVALPLUS.format(reference=reference, entry=entry))


def _helpers(prompt: str, entry: str) -> str:
    """What a HumanEval prompt defines besides the function asked for: some tests call it (tasks 32, 38, 50)."""
    try:
        tree = ast.parse(prompt)
    except (SyntaxError, ValueError):  # a prompt that ends inside a statement brings no helpers
        return ""
    tree.body = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name == entry)]
    return ast.unparse(tree)


def _imports(code: str) -> str:
    """Imports for the standard modules whose attributes MBPP's tests read, trusting the program to have imported them (596)."""
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError):
        return ""  # the tester reports it
    bases = {node.value.id for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}
    return "".join(f"import {name}\n" for name in sorted(bases & sys.stdlib_module_names))


def _shadowed(reference: str) -> tuple[str, ...]:
    """Built-in names that the reference solution defines as its own functions (MBPP 126 asks for a `sum`)."""
    try:
        body = ast.parse(reference).body
    except (SyntaxError, ValueError):
        return ()
    return tuple(node.name for node in body if isinstance(node, ast.FunctionDef) and hasattr(builtins, node.name))


def _text(row: Row, field: str, kind: str, task: Any) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise SeedbedError(
            f"A {kind} of task {task!r} has {field} = {value!r:.80}, not a text.", f"Give each {kind} a text `{field}`."
        )
    return value


def _texts(row: Row, field: str, task: Any) -> tuple[str, ...]:
    value = row[field]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SeedbedError(
            f"Problem {task!r} has a {field} that is not a list of texts.", f"Make {field} a list of texts."
        )
    return tuple(value)
