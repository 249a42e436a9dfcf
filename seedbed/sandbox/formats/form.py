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
    date: when the problem was published, as YYYY-MM-DD; empty where the row does not say.
    stops: texts at which a completion is cut.
    """

    prompt: str
    tests: Tests
    reference: str | Files = ""
    stem: str = ""
    date: str = ""
    stops: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """The rows of one data set, or of several that agree.

    fits: whether a row is of this form, told by its fields.
    task: the task of a row. Raises SeedbedError for a row that lacks what the form needs.
    ids: fields that name a row where it has no `task_id`, the best one first.
    honours: fields of formats.requirements.KNOWN that `task` follows.
    """

    name: str
    fits: Callable[[Row], bool]
    task: Callable[[Row], Task]
    ids: tuple[str, ...] = ()
    honours: tuple[str, ...] = ()


def has(*fields: str) -> Callable[[Row], bool]:
    """A `fits` for rows that have all of these fields."""
    return lambda row: all(field in row for field in fields)
