"""Turns rows of benchmarks into jobs.

There is a file for each form of rows, and FORMS names them all. A row's field `format` names its
form; without it, the row's fields tell.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conf.errors import SeedbedError
from seedbed.sandbox.formats import (
    apps,
    bigcodebench,
    codecontests,
    codeio,
    cruxeval,
    evalplus,
    humaneval,
    leetcode,
    livecodebench,
    mbpp,
    multipl_e,
    open_r1,
    project,
    stdio,
)
from seedbed.sandbox.formats.cases import takes_any
from seedbed.sandbox.formats.fields import Row, files, text
from seedbed.sandbox.formats.form import Form, Task
from seedbed.sandbox.formats.multipl_e import cut, own_language
from seedbed.sandbox.formats.requirements import with_requirements
from seedbed.sandbox.prompted import with_preamble
from seedbed.sandbox.verdict import Files, Job, ProjectTests, StdioTests, Tests

__all__ = [
    "FORMS",
    "NAMES",
    "Form",
    "Row",
    "Task",
    "cut",
    "form",
    "identity",
    "job",
    "job_of",
    "program_of",
    "reference",
    "task",
    "tests",
]

# A row without `format` is of the first form that fits.
FORMS: tuple[Form, ...] = (
    project.FORM,
    codeio.FORM,
    evalplus.FORM,
    leetcode.FORM,
    bigcodebench.FORM,
    humaneval.FORM,
    mbpp.FORM,
    multipl_e.FORM,
    livecodebench.FORM,
    open_r1.VERIFIABLE,
    open_r1.CODEFORCES,
    codecontests.FORM,
    apps.APPS,
    apps.EURUS,
    stdio.FORM,
    apps.DEEPCODER,
    cruxeval.OUTPUT,
    cruxeval.INPUT,
)
NAMES = tuple(known.name for known in FORMS)
# What a reader raises for a row of another shape. Numbers may be larger than a float, and nesting
# deeper than the stack.
_SHAPE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)


def form(problem: Row) -> Form:
    """The form of a row. Raises SeedbedError for a row of no known form."""
    named = problem.get("format")
    for known in FORMS:
        if known.name == named or (named not in NAMES and known.fits(problem)):
            return known
    raise SeedbedError(
        f"Problem {problem.get('task_id')!r} is of no known format "
        f"(fields: {', '.join(sorted(problem))}).",
        f"The forms are {', '.join(NAMES)} (docs/post-train.md has the fields of each). Name one "
        "by the row's field `format`.",
    )


def identity(row: Row, known: Form | None = None) -> Any:
    """What names a row: its `task_id`, else the field that its form has for it, else None.

    known: None for a sample, which may be named as any form's rows are.
    """
    every = tuple(field for other in FORMS for field in other.ids)
    for field in ("task_id", *(known.ids if known else every)):
        # A bool is an int, but no name.
        if isinstance(row.get(field), str | int) and not isinstance(row.get(field), bool):
            return row[field]
    return None


def task(problem: Row) -> Task:
    """What a row asks for. Raises SeedbedError for a row that cannot be judged."""
    known = form(problem)
    name = identity(problem, known)
    row = {**problem, "task_id": name}
    try:
        found = known.task(row)
        required = with_requirements(row, known, found.tests)
        return replace(found, tests=_with_answers(found.prompt, required))
    except _SHAPE as error:
        raise SeedbedError(
            f"Problem {name!r} is not what the form {known.name} reads "
            f"({type(error).__name__}: {error}).",
            "Mend the row, or name its form by the field `format`.",
        ) from error


def _with_answers(statement: str, tests: Tests) -> Tests:
    """Cases of stdin for a statement that takes any of several answers, where nothing tells them.

    LiveCodeBench leaves such problems out, so its rule ("decimals") stands.
    """
    if not isinstance(tests, StdioTests) or tests.checker or tests.rule == "decimals":
        return tests
    return replace(tests, any_answer=takes_any(statement))


def tests(problem: Row) -> Tests:
    """The tests of a problem. Raises SeedbedError for an unknown format."""
    return task(problem).tests


def reference(problem: Row) -> str | Files:
    """The problem's own solution as a program; empty where the row has no solution."""
    return task(problem).reference


def job(problem: Row, sample: Row) -> Job:
    """The job of one sample of a problem. Raises SeedbedError as `task` and `program_of` do."""
    asked = task(problem)
    name = identity(problem, form(problem))
    return job_of(name, asked, sample)


def job_of(name: str | int, asked: Task, sample: Row) -> Job:
    """The job of one sample of a task. Raises SeedbedError as `program_of` does."""
    program, language = program_of(asked, sample), own_language(asked, sample)
    return Job(name, program, asked.tests, reference=asked.reference, language=language)


def program_of(asked: Task, sample: Row) -> str | Files:
    """The program of a sample of a task.

    A sample has one of three fields. `completion` is what follows the prompt in HumanEval, and the
    program elsewhere. `solution` is always a whole program. `files` is for projects.

    Raises SeedbedError for a sample that lacks a field, or has one of another type.
    """
    if "files" in sample:
        return files(sample, "files")
    if "solution" in sample:
        # What the prompt imports is the program's, too, as where a completion goes on with it.
        program = with_preamble(asked.stem, text(sample, "solution", "sample"))
    else:
        program = asked.stem + cut(text(sample, "completion", "sample"), asked.stops)
    if isinstance(asked.tests, ProjectTests) and not asked.tests.target:
        raise SeedbedError(
            f"A sample of task {sample.get('task_id')!r} is one text, but the problem asks for "
            "several files.",
            "Give the sample `files`, or the problem a `target`: the file that the text is.",
        )
    return program
