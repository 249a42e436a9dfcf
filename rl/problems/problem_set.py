"""Problems with unit tests: generated from rl/problems/toy_functions.py, or read.

They are read from a file or a Delta table. A file holds one JSON object per line, in any form that
the sandbox reads (seedbed/sandbox/formats/). HumanEval's rows ask for a continuation of their
prompt. All others ask in words. `code` is a solution known to pass.

The tables are `synthetic` (rl/synthesize.py) and `demonstrations` (rl/distill.py), whose rows with
a reason are skipped, and `problems` (rl/training/run_tables.py).

Generated problems are a pure function of the seed. Train and held-out sets are split by the
function that is asked for. A held-out function never occurs in training under any wording.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from conf.errors import SeedbedError
from conf.schema.rl import ProblemConfig
from rl.problems.toy_functions import ToyFunction, draw_input, functions
from seedbed.sandbox import Tests, formats, problem_files
from seedbed.sandbox.formats import Task
from seedbed.sandbox.problem_files import MAX_BAD
from seedbed.tables import writer

Row = dict[str, Any]

# Share of the functions that are held out.
HELDOUT_SHARE = 0.2
FRAMES = (
    "Write a function f(xs) that returns {}.",
    "Define f(xs) to return {}.",
    "Implement f(xs), which gives {}.",
)
# Inputs tried per problem. Functions that agree on all of them are taken to be the same.
INPUTS_TRIED = 60


@dataclass(frozen=True)
class Problem:
    """One problem.

    code: a program that passes, empty where none is known. continues: the answer continues the
    text of the prompt (HumanEval) and is no reply to it. difficulty: 0 where it is not known.
    responses: whole answers with such programs, chain of thought included. date: when it was
    published, as YYYY-MM-DD, so that problems from after a model's data can be chosen; or empty.
    stops: texts at which a continuation of the prompt ends (MultiPL-E); empty where the row has
    none.
    """

    task_id: str
    prompt: str
    code: str
    tests: Tests
    continues: bool = False
    difficulty: float = 0.0
    responses: tuple[str, ...] = ()
    date: str = ""
    stops: tuple[str, ...] = ()

    @property
    def demonstrations(self) -> tuple[str, ...]:
        """The answers that fine-tuning trains on."""
        return self.responses or (self.code,)


def generate(cfg: ProblemConfig) -> tuple[list[Row], list[Row]]:
    """Rows of (train, held-out), in a fixed shuffled order.

    Raises:
        SeedbedError: where there are fewer functions than problems wanted.
    """
    chosen = []
    for heldout, wanted in ((False, cfg.train), (True, cfg.heldout)):
        pool = [function for function in functions() if is_heldout(function, cfg.seed) == heldout]
        name = "problems.heldout" if heldout else "problems.train"
        if wanted > len(pool):
            raise SeedbedError(
                f"{name}={wanted}, but there are {len(pool)} functions",
                f"set {name} to that or less",
            )
        Random(f"{cfg.seed}:{heldout}").shuffle(pool)
        chosen.append([_row(function, cfg.seed) for function in pool[:wanted]])
    return chosen[0], chosen[1]


def is_heldout(function: ToyFunction, seed: int) -> bool:
    """Whether a function is held out. A hash decides, so a new function moves no other one."""
    digest = hashlib.sha256(f"{seed}:{function.name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < HELDOUT_SHARE * 2**64


def read(path: Path, form: str = "", max_bad: int = MAX_BAD) -> list[Problem]:
    """The problems of a file or table. A bad row of a file is named and skipped.

    form: the form of a file's rows; empty to let each row tell. max_bad: bad rows it may have.

    Raises:
        SeedbedError: with file:line, for too many bad rows and for a repeated task_id.
    """
    return [problem for _, problem in read_with_rows(path, form, max_bad)]


def read_with_rows(path: Path, form: str = "", max_bad: int = MAX_BAD) -> list[tuple[Row, Problem]]:
    """The problems of a file or table, each with the row it came from; raises as `read`."""
    if writer.is_table(path):
        return _from_table(path)
    if not path.is_file():
        raise SeedbedError(
            f"{path} does not exist",
            "run rl.sft first, which writes the problems, or give another path",
        )
    # Of the processes of a torchrun one tells what all of them read.
    speaks = os.environ.get("RANK", "0") == "0"
    say = problem_files.on_stderr if speaks else lambda text: None
    found = problem_files.read(path, form, max_bad, prompts=True, say=say)
    return [(read.row, _of_task(read.row, read.task)) for read in found.good.values()]


def _from_table(path: Path) -> list[tuple[Row, Problem]]:
    found: dict[str, tuple[Row, Problem]] = {}
    stored_rows = writer.rows(path, ["task_id"])
    for stored in sorted(stored_rows, key=lambda row: (row["task_id"], row.get("place") or 0)):
        if stored.get("reason") is not None:
            continue
        names = ("task_id", "prompt", "code", "test_list", "difficulty")
        row = (
            json.loads(stored["problem"])
            if "problem" in stored
            else {name: stored[name] for name in names}
        )
        _, earlier = found.get(stored["task_id"], (None, None))
        if stored.get("response") is not None:
            row["responses"] = [*(earlier.responses if earlier else ()), stored["response"]]
        problem = parse(row)
        # The table `problems` may hold one problem for each of several stages, and the table
        # `demonstrations` one row for each response.
        if earlier and replace(earlier, responses=()) != replace(problem, responses=()):
            raise SeedbedError(
                f"{path}: problem {problem.task_id!r} stands there twice, with different texts "
                "or tests",
                "give the file of problems that is meant",
            )
        found[problem.task_id] = row, problem
    if not found:
        raise SeedbedError(
            f"{path} holds no problem", "the table's `reason` tells where its rows ended"
        )
    return list(found.values())


def parse(row: Row) -> Problem:
    """The problem of one row. Raises SeedbedError for a row that cannot be judged."""
    return _of_task(row, formats.task(row))


def _of_task(row: Row, task: Task) -> Problem:
    # MBPP has Windows line ends, and a model would learn to write them.
    code = task.reference.replace("\r\n", "\n") if isinstance(task.reference, str) else ""
    # LiveCodeBench, TACO and others name a difficulty by a word, each by its own.
    difficulty = row.get("difficulty", 0.0)
    return Problem(
        str(formats.identity(row, formats.form(row))),
        task.prompt,
        code,
        task.tests,
        bool(task.stem),
        float(difficulty) if isinstance(difficulty, int | float) else 0.0,
        tuple(row.get("responses", ())),
        task.date,
        task.stops,
    )


def _row(function: ToyFunction, seed: int) -> Row:
    rng = Random(f"{seed}:{function.name}")
    return {
        "task_id": function.name,
        "prompt": rng.choice(FRAMES).format(function.wording(rng)),
        "code": f"def f(xs):\n    return {function.code}",
        "test_list": [
            f"assert f({xs!r}) == {function.reference(xs)!r}" for xs in _inputs(function, rng)
        ],
    }


def _inputs(function: ToyFunction, rng: Random) -> list[list[int]]:
    """At least three inputs, and enough to tell the function from all its neighbours."""
    inputs: list[list[int]] = []
    alive = list(function.neighbours())
    for _ in range(INPUTS_TRIED):
        xs = draw_input(rng)
        right = _value(function, xs)
        if right is None:
            continue
        left = [other for other in alive if _value(other, xs) == right]
        if len(left) < len(alive) or len(inputs) < 3:
            inputs.append(xs)
        alive = left
    return inputs


def _value(function: ToyFunction, xs: list[int]) -> Any:
    """The function's value, None where it has none."""
    try:
        return function.reference(xs)
    except ValueError:
        return None
