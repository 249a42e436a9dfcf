"""Turns rows of benchmarks into jobs.

The fields of a row tell its format: HumanEval, EvalPlus, MBPP, cases for stdin and stdout, codeio's
generators, or a project of several files.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from seedbed import jsonl
from seedbed.sandbox import differential
from seedbed.sandbox.verdict import (
    CallTests,
    Files,
    Job,
    ProjectTests,
    StdioTests,
    Tests,
    is_plain_path,
)

Row = jsonl.Row
# Inputs that are drawn from a generator, where a row does not give a number.
GENERATED_CASES = 16


def read_tasks(path: Path) -> Iterator[tuple[int, Row]]:
    """Each row of a file of problems or samples, after its line number.

    Raises SeedbedError as `jsonl.read` does, and for a row without a task_id.
    """
    for number, row in jsonl.read(path):
        if not isinstance(row.get("task_id"), str | int):
            raise SeedbedError(
                f"{path}:{number} has no task_id", "give each line a task_id, a text or a number"
            )
        yield number, row


def job(problem: Row, sample: Row) -> Job:
    """The job of one sample of a problem.

    A sample has one of three fields. `completion` is what follows the prompt in HumanEval, and the
    program elsewhere. `solution` is always a whole program. `files` is for projects.

    Raises SeedbedError for a row that lacks a field, or has a field of another type.
    """
    task = problem["task_id"]
    continues_prompt = "prompt" in problem and "entry_point" in problem
    program: str | Files
    if "files" in sample:
        program = _files(sample, "files", task)
    elif "solution" in sample:
        program = _text(sample, "solution", "sample", task)
    else:
        program = _text(sample, "completion", "sample", task)
        if continues_prompt:
            program = _text(problem, "prompt", "problem", task) + program
    found = tests(problem)
    if isinstance(found, ProjectTests) and isinstance(program, str) and not found.target:
        raise SeedbedError(
            f"A sample of task {task!r} is one text, but the problem asks for several files.",
            "Give the sample `files`, or the problem a `target`: the file that the text is.",
        )
    return Job(task, program, found, reference=reference(problem))


def reference(problem: Row) -> str | Files:
    """The problem's own solution as a program; empty where the row has no solution."""
    if "canonical_solution" in problem:
        return str(problem.get("prompt", "")) + str(problem["canonical_solution"])
    if "command" in problem and "reference" in problem:
        return _files(problem, "reference", problem["task_id"])
    return str(problem.get("code_sample") or problem.get("code") or "")


def tests(problem: Row) -> Tests:
    """The tests of a problem. Raises SeedbedError for an unknown format."""
    task = problem["task_id"]
    if "command" in problem and "tests" in problem:
        return _project(problem, task)
    if "input_generator" in problem:
        return _generated(problem, task)
    if "base_input" in problem and "entry_point" in problem:
        return _evalplus(problem, task)
    if "test" in problem and "entry_point" in problem:
        entry = _text(problem, "entry_point", "problem", task)
        # The name is looked up before the tests define `check`: a program may be called that.
        check = f"_entry = {entry}\n{_text(problem, 'test', 'problem', task)}\n\ncheck(_entry)\n"
        return CallTests(check, _helpers(problem.get("prompt", ""), entry))
    if "test_list" in problem:
        code = "\n".join(_texts(problem, "test_list", task))
        setup = _imports(code) + (problem.get("test_setup_code") or "").replace("\r", "")
        return CallTests(code, setup, _shadowed(problem.get("code", "")))
    if "inputs" in problem and "outputs" in problem:
        inputs, outputs = _texts(problem, "inputs", task), _texts(problem, "outputs", task)
        if len(inputs) != len(outputs):
            raise SeedbedError(
                f"Problem {task!r} has {len(inputs)} inputs but {len(outputs)} outputs.",
                "Give one output per input.",
            )
        return StdioTests(inputs, outputs)
    raise SeedbedError(
        f"Problem {task!r} is of no known format (fields: {', '.join(sorted(problem))}).",
        "Give `test` and `entry_point` (HumanEval), `base_input` and `entry_point` (EvalPlus), "
        "`test_list` (MBPP), `inputs` and `outputs` (stdin/stdout), `input_generator` and "
        "`code_sample` (codeio), or `tests` and `command` (a project).",
    )


def _evalplus(problem: Row, task: Any) -> CallTests:
    """Base and plus inputs, each given to the program and to the reference.

    The reference runs in the tester. EvalPlus has special rules in code for a few tasks; these are
    judged by equality here.
    """
    entry = _text(problem, "entry_point", "problem", task)
    if not entry.isidentifier():
        raise SeedbedError(
            f"Problem {task!r} has entry_point = {entry!r:.80}.", "Give the name of a function."
        )
    reference = _text(problem, "prompt", "problem", task) + _text(
        problem, "canonical_solution", "problem", task
    )
    inputs = [*problem["base_input"], *(problem.get("plus_input") or [])]
    return differential.evalplus(reference, entry, inputs, float(problem.get("atol") or 0))


def _generated(problem: Row, task: Any) -> CallTests:
    """A row of codeio (reasoning-gym's data/codeio.jsonl.gz).

    `code_sample` defines the function, and `input_generator` defines generate_inputs(rng). The
    fields `entry_point`, `cases` and `seed` are ours and optional.
    """
    entry = problem.get("entry_point", "main_solution")
    if not isinstance(entry, str) or not entry.isidentifier():
        raise SeedbedError(
            f"Problem {task!r} has entry_point = {entry!r:.80}.", "Give the name of a function."
        )
    cases, seed = problem.get("cases", GENERATED_CASES), problem.get("seed", 0)
    if type(cases) is not int or type(seed) is not int or cases < 1:
        raise SeedbedError(
            f"Problem {task!r} has cases = {cases!r:.40} and seed = {seed!r:.40}.",
            "Give whole numbers, cases above 0.",
        )
    reference, generator = (
        _text(problem, name, "problem", task) for name in ("code_sample", "input_generator")
    )
    return differential.generated(reference, generator, entry, cases, seed)


def _project(problem: Row, task: Any) -> ProjectTests:
    files = _files(problem, "tests", task)
    given = _files(problem, "files", task) if "files" in problem else ()
    command = _texts(problem, "command", task)
    target, in_process = problem.get("target", ""), problem.get("tests_in_process", False)
    if not isinstance(target, str) or type(in_process) is not bool:
        raise SeedbedError(
            f"Problem {task!r} has target = {target!r:.80} and "
            f"tests_in_process = {in_process!r:.80}.",
            "Give the path of a file, and true or false.",
        )
    paths = [path for path, _ in (*files, *given)]
    if target:
        paths.append(target)
    for path in paths:
        if not is_plain_path(path):
            raise SeedbedError(
                f"Problem {task!r} names the file {path!r:.80}.",
                "Give relative paths like `package/module.py`.",
            )
    names = {path for path, _ in files}
    unittest = command[:3] == ("python", "-m", "unittest") and all(
        is_plain_path(word.replace(".", "/")) and not word.startswith("-") for word in command[3:]
    )
    script = command[:1] == ("python",) and len(command) > 1 and command[1] in names
    module = in_process and command[:2] == ("python", "-m") and len(command) > 2
    if not (unittest or script or module):
        raise SeedbedError(
            f"Problem {task!r} has the command {list(command)!r:.120}.",
            "Give python -m unittest [MODULE ...] or python FILE [ARGUMENT ...] with a file of "
            "`tests`. With tests_in_process: true also python -m MODULE; each verdict then says "
            "that a program can forge it.",
        )
    return ProjectTests(files, command, given, target, in_process)


def _files(row: Row, field: str, task: Any) -> Files:
    value = row[field]
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise SeedbedError(
            f"Problem {task!r} or a sample of it has {field} that are not path -> text.",
            f"Make {field} an object of texts.",
        )
    return tuple(value.items())


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


def _text(row: Row, field: str, kind: str, task: Any) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise SeedbedError(
            f"A {kind} of task {task!r} has {field} = {value!r:.80}, not a text.",
            f"Give each {kind} a text `{field}`.",
        )
    return value


def _texts(row: Row, field: str, task: Any) -> tuple[str, ...]:
    value = row[field]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SeedbedError(
            f"Problem {task!r} has a {field} that is not a list of texts.",
            f"Make {field} a list of texts.",
        )
    return tuple(value)
