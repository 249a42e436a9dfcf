"""Problems whose own solution fails leave the draw, once and for the whole run."""

from __future__ import annotations

import json

import pytest

from conf.errors import SeedbedError
from rl.problems import problem_set
from rl.rollouts import reference_check
from seedbed.sandbox import Limits, Sandbox


def problem(task_id: str, code: str | None) -> tuple[problem_set.Row, problem_set.Problem]:
    row = {"task_id": task_id, "prompt": "double", "test_list": ["assert f(2) == 4"]}
    row |= {} if code is None else {"code": code}
    return row, problem_set.parse(row)


SLOW = "import time\ndef f(x):\n    while time.process_time() < 0.9: pass\n    return 2 * x"
READ = [
    problem("right", "def f(x): return 2 * x"),
    problem("wrong", "def f(x): return 2 * x + 1"),
    problem("unsolved", None),
    problem("slow", SLOW),
]
WRONG = {"wrong": "fail: AssertionError in `assert f(2) == 4`"}


class Closed:
    """A sandbox that is not to be asked."""

    def run(self, jobs):
        raise AssertionError("judged a second time")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(1, Limits(cpu_seconds=0.5, wall_seconds=9)) as sandbox:
        yield sandbox


def test_a_problem_whose_own_solution_fails_is_named_once_and_one_without_a_solution_stays(
    sandbox, tmp_path, capsys
):
    record = tmp_path / "grpo/unfit.json"
    assert reference_check.failing(READ, sandbox, record) == WRONG
    assert capsys.readouterr().err == (
        f"dropped problem wrong: its reference fails its own tests: {WRONG['wrong']}\n"
    )
    # A run that is started again asks nobody.
    assert reference_check.failing(READ, Closed(), record) == WRONG
    assert (
        capsys.readouterr().err == f"1 of 4 problems are not drawn, for the reasons in {record}\n"
    )


def test_other_problems_are_judged_anew(sandbox, tmp_path):
    record = tmp_path / "unfit.json"
    reference_check.failing(READ, sandbox, record)
    mended = [READ[0], problem("wrong", "def f(x): return x + x")]
    assert reference_check.failing(mended, sandbox, record) == {}
    assert json.loads(record.read_text())["unfit"] == {}


def test_a_run_without_a_problem_to_draw_is_refused_with_the_first_reason(sandbox, tmp_path):
    with pytest.raises(
        SeedbedError,
        match=r"own solutions of all 1 problems fail.*that of wrong: fail: AssertionError",
    ):
        reference_check.failing(READ[1:2], sandbox, tmp_path / "unfit.json")
