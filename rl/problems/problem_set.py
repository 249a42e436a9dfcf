"""Problems with unit tests: generated from rl/problems/toy_functions.py, or read from a file or a
table.

A file holds one JSON object a line, in any form that the sandbox reads
(seedbed/sandbox/formats.py). HumanEval's rows ask for a continuation of their prompt; all others
ask in words: `prompt`, or MBPP's `text`, to which the tests are appended because only they name the
function wanted. `code` is a solution known to pass. Instead of a file a Delta table may be given:
`synthetic` (rl/synthesize.py) or `demonstrations` (rl/distill.py), whose rows with a reason are
passed over, or `problems` (rl/training/run_tables.py).

Generated problems are a pure function of the seed. Train and held-out are split by the function
asked for: a held-out one never occurs in training under any wording.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from conf.errors import SeedbedError
from conf.schema.rl import ProblemConfig
from rl.problems.toy_functions import Function, draw_input, functions
from seedbed.sandbox import CallTests, StdioTests, formats
from seedbed.tables import writer

Row = dict[str, Any]

# of the functions
HELDOUT_SHARE = 0.2
FRAMES = (
    "Write a function f(xs) that returns {}.",
    "Define f(xs) to return {}.",
    "Implement f(xs), which gives {}.",
)
# a problem: functions that differ on none of these are taken to be the same
INPUTS_TRIED = 60


@dataclass(frozen=True)
class Problem:
    """One problem. code: a program that passes, empty where none is known. continues: the answer is
    the rest of the prompt itself (HumanEval), not a reply to it. responses: whole answers that hold
    such programs, with what was thought before.
    """

    task_id: str
    prompt: str
    code: str
    tests: CallTests | StdioTests
    continues: bool = False
    # 0: not known
    difficulty: float = 0.0
    responses: tuple[str, ...] = ()

    @property
    def demonstrations(self) -> tuple[str, ...]:
        """What a model is taught to answer."""
        return self.responses or (self.code,)


def generate(cfg: ProblemConfig) -> tuple[list[Row], list[Row]]:
    """Rows of (train, held-out), in a fixed shuffled order.

    Raises SeedbedError when the families do not give that many.
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


def is_heldout(function: Function, seed: int) -> bool:
    """A hash decides, so that adding a part moves no function from one side to the other."""
    digest = hashlib.sha256(f"{seed}:{function.name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < HELDOUT_SHARE * 2**64


def save(rows: Iterable[Row], path: Path) -> None:
    """Write a problem file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(json.dumps(row) + "\n" for row in rows))
    partial.replace(path)


def read(path: Path) -> list[Problem]:
    """The problems of a file.

    Raises SeedbedError, with the line, for what cannot be used and for a task_id that comes twice.
    """
    return [problem for _, problem in read_with_rows(path)]


def read_with_rows(path: Path) -> list[tuple[Row, Problem]]:
    """The same, each with the row it came from."""
    if writer.is_table(path):
        return _from_table(path)
    if not path.is_file():
        raise SeedbedError(
            f"{path} does not exist",
            "run rl.sft first, which writes the problems, or give another path",
        )
    found: dict[str, tuple[Row, Problem]] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        try:
            row = json.loads(line)
            problem = parse(row)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise SeedbedError(
                f"{path}:{number}: {type(error).__name__}: {error}",
                "a problem is a JSON object with task_id, prompt or text, and tests in a form of seedbed/sandbox/formats.py",
            ) from error
        if problem.task_id in found:
            raise SeedbedError(
                f"{path}:{number}: task_id {problem.task_id!r} occurs twice",
                "give every problem its own",
            )
        found[problem.task_id] = row, problem
    if not found:
        raise SeedbedError(f"{path} holds no problem", "give a file with one JSON object a line")
    return list(found.values())


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
        # Two stages may have used one problem; two responses to one are one problem.
        if earlier and replace(earlier, responses=()) != replace(problem, responses=()):
            raise SeedbedError(
                f"{path}: problem {problem.task_id!r} stands there twice, with different texts or tests",
                "give the file of problems that is meant",
            )
        found[problem.task_id] = row, problem
    if not found:
        raise SeedbedError(
            f"{path} holds no problem", "the table's `reason` tells where its rows ended"
        )
    return list(found.values())


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SeedbedError(
            f"{path} cannot be read ({type(error).__name__}: {error})",
            "give UTF-8 text, or a whole .gz",
        ) from error


def parse(row: Row) -> Problem:
    """One row of a file.

    Raises KeyError for a missing field, SeedbedError for tests in no known form.
    """
    tests = formats.tests(row)
    difficulty, responses = float(row.get("difficulty", 0.0)), tuple(row.get("responses", ()))
    solution = formats.reference(row)
    # MBPP has Windows line ends, which a model would learn to write.
    code = solution.replace("\r\n", "\n") if isinstance(solution, str) else ""
    if "entry_point" in row:
        return Problem(str(row["task_id"]), row["prompt"], code, tests, True, difficulty, responses)
    # MBPP's authors put the tests under the text as well (arXiv 2108.07732 Sec 4.1).
    prompt = (
        row["prompt"]
        if "prompt" in row
        else "\n".join([row["text"], "It must satisfy:", *row["test_list"]])
    )
    return Problem(
        str(row["task_id"]), prompt, code, tests, difficulty=difficulty, responses=responses
    )


def _row(function: Function, seed: int) -> Row:
    rng = Random(f"{seed}:{function.name}")
    return {
        "task_id": function.name,
        "prompt": rng.choice(FRAMES).format(function.wording(rng)),
        "code": f"def f(xs):\n    return {function.code}",
        "test_list": [
            f"assert f({xs!r}) == {function.reference(xs)!r}" for xs in _inputs(function, rng)
        ],
    }


def _inputs(function: Function, rng: Random) -> list[list[int]]:
    """At least three, and enough to tell the function from every one that differs in one part."""
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


def _value(function: Function, xs: list[int]) -> Any:
    """None where the function has no value."""
    try:
        return function.reference(xs)
    except ValueError:
        return None
