"""Problems whose own solution fails leave the draw, once and for the whole run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from conf.errors import SeedbedError
from rl.problems import problem_set
from rl.rollouts import reference_check
from seedbed.inference.chat import Chat
from seedbed.sandbox import Interpreter, Limits, Sandbox, Verdict


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
WRONG = {"wrong": "its reference fails its own tests: fail: AssertionError in `assert f(2) == 4`"}


class Closed:
    """A sandbox that is not to be asked."""

    interpreter, version = Interpreter(), "closed"

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
    assert reference_check.unfit(READ, sandbox, record, {}) == WRONG
    assert capsys.readouterr().err == (f"dropped problem wrong: {WRONG['wrong']}\n")
    # A run that is started again asks nobody.
    assert reference_check.unfit(READ, Closed(), record, {}) == WRONG
    assert json.loads(record.read_text())["sandbox"] == sandbox.version
    # Other packages may judge another way, so all are judged again.
    other = Closed()
    other.interpreter = Interpreter(packages=("numpy",))
    with pytest.raises(AssertionError, match="judged a second time"):
        reference_check.unfit(READ, other, record, {})
    assert (
        capsys.readouterr().err == f"1 of 4 problems are not drawn, for the reasons in {record}\n"
    )


def test_other_problems_are_judged_anew(sandbox, tmp_path):
    record = tmp_path / "unfit.json"
    reference_check.unfit(READ, sandbox, record, {})
    mended = [READ[0], problem("wrong", "def f(x): return x + x")]
    assert reference_check.unfit(mended, sandbox, record, {}) == {}
    assert json.loads(record.read_text())["unfit"] == {}


def test_a_run_without_a_problem_to_draw_is_refused_with_the_first_reason(sandbox, tmp_path):
    with pytest.raises(
        SeedbedError,
        match=r"none of the 1 problems can be drawn; wrong: its reference fails its own tests",
    ):
        reference_check.unfit(READ[1:2], sandbox, tmp_path / "unfit.json", {})


def test_a_prompt_that_does_not_fit_is_left_out_before_the_first_step_and_named_once(
    sandbox, tmp_path, tokenizer_folder, capsys
):
    chat, record = Chat(tokenizer_folder), tmp_path / "unfit.json"
    read = [READ[0], problem("long", "def f(x): return 2 * x")]
    read[1] = (read[1][0], replace(read[1][1], prompt="double it, " * 9))
    room = len(chat.prompt("double it, " * 9)) - 1
    long = reference_check.too_long(chat, [one for _, one in read], room)
    assert long == {"long": f"its prompt has {room + 1} tokens, max_prompt={room}"}
    assert reference_check.too_long(chat, [one for _, one in read], room + 1) == {}
    for _ in range(2):
        assert reference_check.unfit(read, sandbox, record, long) == long
    assert capsys.readouterr().err.count("dropped problem long") == 1
    assert json.loads(record.read_text())["unfit"] == long
    assert reference_check.unfit(read, sandbox, record, {}) == {}, "more room is another question"


class Unable:
    """A sandbox that cannot judge the problem `odd`, and whose other verdicts are passes."""

    interpreter, version = Interpreter(), "unable"

    def __init__(self, odd: str, verdict: str, works: bool = True):
        self.odd, self.verdict, self.works = odd, verdict, works

    def run(self, jobs):
        verdicts = []
        for job in jobs:
            fine = self.works and job.task_id != self.odd
            outcome, reason = ("pass", "") if fine else (self.verdict, "a test passes a date")
            verdicts.append(Verdict(job.task_id, outcome, reason, 0.0, 0.0, 0))
        return verdicts


@pytest.mark.parametrize("verdict", ["unsupported", "infrastructure"])
@pytest.mark.parametrize("odd", ["right", "unsolved"])
def test_a_problem_that_cannot_be_judged_stops_nothing(tmp_path, verdict, odd):
    found = reference_check.unfit(READ, Unable(odd, verdict), tmp_path / "unfit.json", {})
    assert found == {odd: f"it cannot be judged: {verdict}: a test passes a date"}


def test_an_outage_drops_no_problem(tmp_path):
    record = tmp_path / "unfit.json"
    with pytest.raises(SeedbedError, match="no verdict on a plain program: a test passes a date"):
        reference_check.unfit(READ, Unable("", "infrastructure", works=False), record, {})
    assert not record.exists()
