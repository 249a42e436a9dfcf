"""Reads files of problems: tells the forms that it finds, skips bad rows by name, up to a limit.

A bad row is a line that is no JSON object, a row of no known form, or one that cannot be judged as
it asks. What is read and what is skipped goes to stderr.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from conf.schema.problem_files import ProblemFileConfig
from seedbed import jsonl
from seedbed.sandbox import formats
from seedbed.sandbox.formats import Row, Task

# Bad rows that a file may have. A data set has some; a file in another form has nothing else.
MAX_BAD = ProblemFileConfig.max_bad

# Takes a line that a user should hear.
Say = Callable[[str], None]


@dataclass(frozen=True)
class Read:
    """A row and its task. Its row names its `task_id`, and its `format` where one was given."""

    number: int
    row: Row
    task: Task
    form: str

    @property
    def name(self) -> Any:
        """The task's id."""
        return self.row["task_id"]


@dataclass
class Problems:
    """The problems of a file by their ids, as texts, and the reasons of the bad rows by theirs."""

    good: dict[str, Read] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)


def on_stderr(text: str) -> None:
    print(text, file=sys.stderr)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of a program that reads a file of problems: `--format` and `--max-bad`."""
    parser.add_argument(
        "--format",
        default="",
        choices=["", *formats.NAMES],
        help="the form of the problems (default: each row's fields tell)",
    )
    parser.add_argument(
        "--max-bad",
        type=int,
        default=MAX_BAD,
        help="bad rows that are skipped before the run stops (default: %(default)s)",
    )


class BadRows:
    """Counts the bad rows of a file, and names each.

    most: how many there may be. say: takes what a user should hear.
    """

    def __init__(self, path: Path, most: int, say: Say = on_stderr):
        if most < 0:
            raise SeedbedError(f"max_bad={most} is below 0.", "Use 0 to skip no bad row.")
        self._path, self._most, self._say = path, most, say
        self._reasons: list[str] = []

    def add(self, number: int | None, error: SeedbedError) -> str:
        """Name one more bad row, and give its reason.

        number: of its line, where that is known. Raises SeedbedError where there are too many.
        """
        where = f"{self._path}:{number}" if number is not None else str(self._path)
        reason = error.problem if error.problem.startswith(where) else f"{where}: {error.problem}"
        self._say(f"skipped: {reason}")
        self._reasons.append(reason)
        if len(self._reasons) > self._most:
            raise SeedbedError(
                f"{self._path} has more than {self._most} bad rows:\n  {self.listed}",
                f"{error.fix.rstrip('.')}. Or raise the limit, max_bad.",
            )
        return reason

    @property
    def listed(self) -> str:
        """The first reasons, a line each."""
        return "\n  ".join(self._reasons[:20])

    def __len__(self) -> int:
        return len(self._reasons)


def read(
    path: Path,
    form: str = "",
    max_bad: int = MAX_BAD,
    *,
    prompts: bool = False,
    say: Say = on_stderr,
) -> Problems:
    """The problems of a file. What is found in it is told once.

    form: the form of all rows; empty to let each row tell. prompts: whether a row needs words.
    say: takes what a user should hear.

    Raises SeedbedError for a file without a good row or with too many bad ones, for two problems
    of one id, and as `jsonl.read` does for a file that cannot be read. Equal rows are bad rows.
    """
    if form and form not in formats.NAMES:
        raise SeedbedError(
            f"format={form} is no form of problems.", f"Give one of {', '.join(formats.NAMES)}."
        )
    # Cases may hold numbers of any length, which Python's guard against them would refuse.
    sys.set_int_max_str_digits(0)
    found, bad = Problems(), BadRows(path, max_bad, say)
    for number, row in jsonl.read_each(path):
        try:
            known = _read(path, number, row, form)
            if prompts and not known.task.prompt.strip():
                raise SeedbedError(
                    f"Problem {known.name!r} has no prompt.", "Give each problem a text `prompt`."
                )
        except SeedbedError as error:
            name = formats.identity(row) if isinstance(row, dict) else None
            found.bad[str(name)] = bad.add(number, error)
            continue
        first = found.good.setdefault(str(known.name), known)
        if first is not known:
            repeated = SeedbedError(
                f"{path}:{number} repeats task_id {known.name!r} of line {first.number}.",
                "Keep one problem per task_id.",
            )
            # Which of two different problems a sample answers, nobody can tell.
            if first.row != known.row:
                raise repeated
            bad.add(number, repeated)
    if not found.good:
        raise SeedbedError(
            f"{path} holds no problem" + (f", but bad rows:\n  {bad.listed}" if len(bad) else ""),
            "Give a file with one JSON object per line, in one of the forms "
            f"{', '.join(formats.NAMES)}.",
        )
    say(_told(path, found, len(bad)))
    return found


def samples(path: Path, bad: BadRows) -> Iterator[tuple[int, Row]]:
    """Each sample after its line number. Lines without a task's name are bad rows."""
    for number, row in jsonl.read_each(path):
        if isinstance(row, SeedbedError):
            bad.add(number, row)
            continue
        name = formats.identity(row)
        if name is None:
            bad.add(number, _no_name(path, number))
            continue
        yield number, {**row, "task_id": name}


def _read(path: Path, number: int, row: Row | SeedbedError, form: str) -> Read:
    if isinstance(row, SeedbedError):
        raise row
    given = {**row, "format": form} if form else row
    known = formats.form(given)
    name = formats.identity(row, known)
    if name is None:
        # TACO, Eurus and DeepCoder have no ids. Samples of other rows must name theirs.
        if not known.ids:
            raise _no_name(path, number)
        name = f"{path.name}:{number}"
    named = {**given, "task_id": name}
    return Read(number, named, formats.task(named), known.name)


def _no_name(path: Path, number: int) -> SeedbedError:
    return SeedbedError(
        f"{path}:{number} has no task_id", "give each line a task_id, a text or a number"
    )


def _told(path: Path, found: Problems, bad: int) -> str:
    forms = Counter(read.form for read in found.good.values())
    parts = ", ".join(f"{count} {name}" for name, count in forms.most_common())
    unnamed = sum(str(read.name) == f"{path.name}:{read.number}" for read in found.good.values())
    said = f"{path}: {len(found.good)} problems ({parts})"
    if unnamed:
        said += f"; {unnamed} without an id are named by their lines"
    if bad:
        said += f"; {bad} bad rows skipped"
    return said


@functools.lru_cache(maxsize=256)
def stored_task(row: str) -> Task:
    """The task of a problem's row, which is JSON; samples of one problem come together.

    It stands here, since executors find a cached function by the name of its module, and a job that
    is a program has none that they know.
    """
    return formats.task(json.loads(row))
