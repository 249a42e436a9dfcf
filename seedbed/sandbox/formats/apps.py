"""Rows with inputs, outputs and perhaps fn_name as JSON: APPS, TACO, Eurus and DeepCoder.

They differ in where the cases are: `input_output` (APPS, TACO), `reward_model.ground_truth`
(Eurus) or `tests` (DeepCoder). The cases are {"inputs", "outputs", "fn_name"}, or a list of
{"input", "output"}. Those name a function by `fn_name`, or by `metadata.func_name` (DeepCoder's
part of LiveCodeBench).

APPS compares in a chain of ever milder ways, which ends in sets of words. That passes wrong
outputs, so it is not followed: the rule here is "lines" (seedbed/sandbox/comparison.py).
"""

from __future__ import annotations

from typing import Any

from conf.errors import SeedbedError
from seedbed.sandbox.checks.prelude import CONTEST
from seedbed.sandbox.formats.cases import case_tests, paired
from seedbed.sandbox.formats.fields import Row, parsed, words
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.formats.livecodebench import asked

# How a case says that it is one of stdin.
_STDIN = ("stdin", "stdin_stdout", "standard_input")


def task_of(row: Row, cases: Any) -> Task:
    """The task of a row whose cases are given, as an object, a list, or a JSON text of one."""
    found = parsed(row, "the cases", cases)
    function, pairs = _read(row, found)
    function = function or words(row, "fn_name")
    if function and not function.isidentifier():
        raise SeedbedError(
            f"Problem {row['task_id']!r} has fn_name = {function!r:.60}.",
            "Give the name of a function.",
        )
    tests = case_tests(row, pairs, function, prelude=CONTEST)
    date = words(row, "date", "contest_date")[:10]
    return Task(asked(row), tests, words(row, "code"), date=date)


def _read(row: Row, found: Any) -> tuple[str, list[tuple[Any, Any]]]:
    """The function's name, or "", and the cases as pairs."""
    if isinstance(found, dict) and "inputs" in found and "outputs" in found:
        pairs = paired(row, found["inputs"], found["outputs"])
        return str(found.get("fn_name") or ""), pairs
    if isinstance(found, list) and found and all(isinstance(case, dict) for case in found):
        names = {_name(case) for case in found}
        if len(names) > 1:
            raise SeedbedError(
                f"Problem {row['task_id']!r} has cases of several functions: {sorted(names)}.",
                "Give one function, or stdin, to all cases.",
            )
        if all("input" in case and "output" in case for case in found):
            return names.pop(), [(case["input"], case["output"]) for case in found]
    raise SeedbedError(
        f"Problem {row['task_id']!r} has cases that are no code tests: {found!r:.60}.",
        'Give {"inputs": [...], "outputs": [...]} or a list of {"input", "output"}.',
    )


def _name(case: dict[str, Any]) -> str:
    """The function that a case calls; empty for one of stdin."""
    if case.get("type", case.get("testtype")) in _STDIN:
        return ""
    inner = case.get("metadata")
    inside = inner.get("func_name") if isinstance(inner, dict) else None
    return str(case.get("fn_name") or case.get("func_name") or inside or "")


def _of_reward_model(row: Row) -> Task:
    model = row["reward_model"]
    return task_of(row, model.get("ground_truth") if isinstance(model, dict) else model)


_IDS = ("problem_id", "id", "name", "uid")
HONOURS = ("fn_name",)
APPS = Form(
    "apps", has("input_output"), lambda row: task_of(row, row["input_output"]), _IDS, HONOURS
)
EURUS = Form("eurus", has("reward_model"), _of_reward_model, _IDS, HONOURS)
DEEPCODER = Form(
    "deepcoder",
    lambda row: "tests" in row and "command" not in row,
    lambda row: task_of(row, row["tests"]),
    _IDS,
    HONOURS,
)
