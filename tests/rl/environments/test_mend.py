"""What `mend` says to a program, and which problems it takes."""

from __future__ import annotations

from conf.schema.rl import EnvironmentConfig
from rl.environments.mend import Mend
from rl.problems import problem_set
from seedbed.sandbox import StdioTests

PROBLEM = problem_set.parse(
    {"task_id": "a", "prompt": "p", "test_list": ["assert f(3) == 4", "assert f(7177) == 7178"]}
)
CFG = EnvironmentConfig("mend", max_turns=2)


def told(verdict: str, reason: str, problem=PROBLEM) -> str:
    episode = Mend(CFG).begin(problem)
    trial = episode.act("```python\ndef f(x):\n    return 1\n```")
    assert trial is not None
    assert trial.program == "def f(x):\n    return 1\n"
    episode.learn(verdict, reason)
    return episode.observe()


def test_a_model_is_told_the_verdict_and_the_visible_tests_once():
    end = "Mend the program. Answer with the whole program."
    named = "AssertionError in `assert f(3) == 4`"
    assert told("fail", named) == f"fail: {named}\n{end}"
    assert told("error", "SyntaxError: bad") == f"error: SyntaxError: bad\nassert f(3) == 4\n{end}"
    assert told("pass", "") == ""


def test_a_case_of_stdin_is_shown_whole():
    row = {"task_id": "s", "prompt": "p", "inputs": ["3\n", "71\n"], "outputs": ["9\n", "72\n"]}
    problem = problem_set.parse(row)
    assert isinstance(problem.tests, StdioTests)
    text = told("fail", "case 0: line 1: expected '9', got '4'", problem)
    assert "Input:\n3\n\nOutput:\n9\n" in text
    assert "7" not in text


def test_a_problem_with_one_test_is_unfit_and_is_asked_once():
    one = problem_set.parse({"task_id": "b", "prompt": "p", "test_list": ["assert f(3) == 4"]})
    assert "environment.visible_tests" in Mend(CFG).unfit(one)
    assert Mend(CFG).unfit(PROBLEM) == ""
    # Nothing is shown in a single turn, so any test will do.
    assert Mend(EnvironmentConfig("mend")).unfit(one) == ""
    episode = Mend(CFG).begin(one)
    assert episode.act("def f(x):\n    return 1") is None
    assert episode.observe() == ""
