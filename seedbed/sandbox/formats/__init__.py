"""Turns rows of benchmarks into jobs.

There is a file for each form of rows, and FORMS names them all. The fields of a row tell its form.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from conf.errors import SeedbedError
from seedbed import jsonl
from seedbed.sandbox.formats import codeio, evalplus, humaneval, mbpp, multipl_e, project, stdio
from seedbed.sandbox.formats.fields import Row, files, text
from seedbed.sandbox.formats.form import Form, Task
from seedbed.sandbox.formats.spoken import cut, spoken
from seedbed.sandbox.verdict import Files, Job, ProjectTests, Tests

__all__ = ["FORMS", "Form", "Row", "Task", "job", "read_tasks", "reference", "task", "tests"]

# A row is of the first form that fits.
FORMS: tuple[Form, ...] = (
    project.FORM,
    codeio.FORM,
    evalplus.FORM,
    humaneval.FORM,
    mbpp.FORM,
    multipl_e.FORM,
    stdio.FORM,
)


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


def form(problem: Row) -> Form:
    """The form of a row. Raises SeedbedError for a row of no known form."""
    for known in FORMS:
        if known.fits(problem):
            return known
    raise SeedbedError(
        f"Problem {problem['task_id']!r} is of no known format "
        f"(fields: {', '.join(sorted(problem))}).",
        "Give `test` and `entry_point` (HumanEval), `base_input` and `entry_point` (EvalPlus), "
        "`test_list` (MBPP), `inputs` and `outputs` (stdin/stdout), `input_generator` and "
        "`code_sample` (codeio), `prompt`, `tests`, `language` and `stop_tokens` (MultiPL-E), or "
        "`tests` and `command` (a project).",
    )


def task(problem: Row) -> Task:
    """What a row asks for. Raises SeedbedError for a row that cannot be judged."""
    return form(problem).task(problem)


def tests(problem: Row) -> Tests:
    """The tests of a problem. Raises SeedbedError for an unknown format."""
    return task(problem).tests


def reference(problem: Row) -> str | Files:
    """The problem's own solution as a program; empty where the row has no solution."""
    return task(problem).reference


def job(problem: Row, sample: Row) -> Job:
    """The job of one sample of a problem.

    A sample has one of three fields. `completion` is what follows the prompt in HumanEval, and the
    program elsewhere. `solution` is always a whole program. `files` is for projects.

    Raises SeedbedError for a row that lacks a field, or has a field of another type.
    """
    name, asked = problem["task_id"], task(problem)
    program: str | Files
    if "files" in sample:
        program = files(sample, "files")
    elif "solution" in sample:
        program = text(sample, "solution", "sample")
    else:
        program = asked.stem + cut(text(sample, "completion", "sample"), asked.stops)
    if (
        isinstance(asked.tests, ProjectTests)
        and isinstance(program, str)
        and not asked.tests.target
    ):
        raise SeedbedError(
            f"A sample of task {name!r} is one text, but the problem asks for several files.",
            "Give the sample `files`, or the problem a `target`: the file that the text is.",
        )
    language = spoken(asked, problem, sample)
    # A reference says how long programs in its own language take.
    reference = asked.reference if language == spoken(asked, problem, {}) else ""
    return Job(name, program, asked.tests, reference=reference, language=language)
