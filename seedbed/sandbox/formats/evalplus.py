"""EvalPlus' own rows, HumanEval+ and MBPP+: `base_input`, `plus_input`, judged by the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conf.errors import SeedbedError
from seedbed.sandbox.checks import evalplus
from seedbed.sandbox.formats.fields import Row, function_name, text
from seedbed.sandbox.formats.form import Form, Task, has

Change = Callable[[list[Any]], list[Any]]


def task(row: Row) -> Task:
    """Base and plus inputs, each given to the program and to the reference."""
    entry, prompt = function_name(row, "entry_point"), text(row, "prompt")
    reference = prompt + text(row, "canonical_solution")
    inputs = [*row["base_input"], *(row.get("plus_input") or [])]
    if not all(isinstance(given, list) for given in inputs):
        raise SeedbedError(
            f"Problem {row['task_id']!r} has inputs that are no lists of arguments.",
            "Make base_input and plus_input lists of lists.",
        )
    name = str(row["task_id"])
    if name.startswith("Mbpp/") and name[5:].isdigit():
        inputs = [_change(int(name[5:]))(given) for given in inputs]
    tests = evalplus.tests(name, reference, entry, inputs, float(row.get("atol") or 0))
    return Task(prompt, tests, reference, stem="" if name.startswith("Mbpp/") else prompt)


def _tuples(value: Any) -> Any:
    """A list as a tuple; others as they are."""
    return tuple(value) if isinstance(value, list) else value


def _deep(value: Any) -> Any:
    return tuple(map(_deep, value)) if isinstance(value, list) else value


def _each(given: list[Any]) -> list[Any]:
    return [_tuples(value) for value in given]


def _inner(given: list[Any]) -> list[Any]:
    return [list(map(_tuples, value)) for value in given]


def _both(given: list[Any]) -> list[Any]:
    return [tuple(map(_tuples, value)) for value in given]


def _first(given: list[Any]) -> list[Any]:
    return [_tuples(given[0]), *given[1:]]


def _inner_first(given: list[Any]) -> list[Any]:
    return [list(map(_tuples, given[0])), *given[1:]]


def _second(given: list[Any]) -> list[Any]:
    return [given[0], _tuples(given[1]), *given[2:]]


def _sets(given: list[Any]) -> list[Any]:
    # An empty set is stored as {}, a dictionary, in the original tests, too.
    return [[set(item) if item else {} for item in given[0]]]


def _values(given: list[Any]) -> list[Any]:
    return [{key: _tuples(value) for key, value in given[0].items()}, *given[1:]]


# JSON has no tuples, sets or complex numbers. EvalPlus gives these tasks of MBPP+ their types back
# by number (evalplus/data/mbpp.py, mbpp_deserialize_inputs).
_CHANGES: tuple[tuple[Change, tuple[int, ...]], ...] = (
    (
        _each,
        (2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630),
    ),
    (_each, (726, 740, 744, 809)),
    (_inner, (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780)),
    (_inner_first, (75, 413, 444, 753)),
    (_second, (106, 750)),
    (_sets, (115,)),
    (lambda given: [float(given[0]), complex(given[1])], (124,)),
    (_first, (250, 405, 446, 617, 720, 763, 808, 307)),
    (_both, (259, 401, 445, 278)),
    (_values, (722,)),
    (lambda given: [complex(given[0])], (252,)),
    (lambda given: [_deep(value) for value in given], (580, 615, 791)),
)
_BY_TASK = {number: change for change, numbers in _CHANGES for number in numbers}


def _change(number: int) -> Change:
    return _BY_TASK.get(number, list)


FORM = Form("evalplus", has("base_input", "entry_point"), task, honours=("atol",))
