"""What an importer is: a form of rows, and the task that it makes of one row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from seedbed.sandbox.formats.fields import Row
from seedbed.sandbox.verdict import Files, Tests


@dataclass(frozen=True)
class Task:
    """What a row asks for, in the words of every form.

    prompt: what a model is asked; empty where the row has no words for it.
    stem: code that a sample's `completion` continues; empty where it is a whole program.
    reference: a program known to pass; empty where the row has none.
    language: of the programs, as in Job.language. stops: texts at which a completion is cut.
    """

    prompt: str
    tests: Tests
    reference: str | Files = ""
    stem: str = ""
    language: str = "python"
    stops: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """The rows of one data set, or of several that agree.

    fits: whether a row is of this form, told by its fields.
    task: the task of a row. Raises SeedbedError for a row that lacks what the form needs.
    """

    name: str
    fits: Callable[[Row], bool]
    task: Callable[[Row], Task]


def has(*fields: str) -> Callable[[Row], bool]:
    """A `fits` for rows that have all of these fields."""
    return lambda row: all(field in row for field in fields)
