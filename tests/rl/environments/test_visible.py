"""Which tests a model may see: parts that hold nothing of the hidden ones."""

from __future__ import annotations

import pytest

from conf.schema.rl import EnvironmentConfig
from rl.environments.visible import asked_in_turns, visible
from rl.problems import problem_set
from seedbed.sandbox import CallTests, ProjectTests, StdioTests


def code(text: str, count: int) -> str:
    found = visible(CallTests(text, setup="import math", names=("sum",)), count)
    assert found is not None
    assert isinstance(found.tests, CallTests)
    assert (found.tests.setup, found.tests.names) == ("import math", ("sum",))
    return found.tests.code


def test_the_first_asserts_are_visible_and_what_follows_them_is_left_out():
    text = "assert f(1) == 2\nassert f(3) == 4\nx = f(55)\nassert x == 66\nprint(f(77))"
    assert code(text, 1) == "assert f(1) == 2\npass"
    assert code(text, 2) == "assert f(1) == 2\nassert f(3) == 4\npass"
    found = visible(CallTests(text), 2)
    assert found is not None
    assert found.texts == ("assert f(1) == 2", "assert f(3) == 4")
    assert found.hidden == ("assert x == 66",)


def test_a_check_is_still_called_and_a_hidden_one_is_empty():
    text = (
        "def check(candidate):\n    assert candidate(1) == 2\n    big = candidate(55)\n"
        "    assert big == 66\n\ncheck(f)"
    )
    assert (
        code(text, 1) == "def check(candidate):\n    assert candidate(1) == 2\n    pass\ncheck(f)"
    )
    both = "def more(g):\n    y = g(55)\n    assert y == 66\n\nassert f(1) == 2\nmore(f)\n"
    assert code(both, 1) == "def more(g):\n    pass\nassert f(1) == 2\nmore(f)"
    # A helper that stands behind them all may be one that a visible test calls.
    late = "def check(g):\n    assert same(g(1), 2)\n    assert same(g(5), 6)\n\ndef same(a, b): "
    late += "return a == b\n\ncheck(f)"
    assert "def same(a, b)" in code(late, 1)


def test_a_loop_around_asserts_is_one_test():
    loop = "for i, o in [(1, 2), (3, 4)]:\n    assert f(i) == o"
    assert visible(CallTests(loop), 1) is None
    assert code(f"assert f(9) == 10\n{loop}", 1) == "assert f(9) == 10\npass"


@pytest.mark.parametrize(
    "tests",
    [
        CallTests("assert f(1) == 2"),
        CallTests("f(1)\nf(2)"),
        CallTests("assert f(1) ==\nassert"),
        StdioTests(("1\n",), ("2\n",)),
        ProjectTests((("t.py", "assert 1\nassert 2"),), ("python", "t.py")),
    ],
)
def test_tests_that_cannot_be_divided_show_none(tests):
    assert visible(tests, 1) is None


def test_of_cases_of_stdin_the_first_are_shown_with_input_and_output():
    others = (("2 \n",), (), ("8\n",))
    tests = StdioTests(("1\n", "55\n", "77\n"), ("2\n", "66\n", "88\n"), "tokens", others=others)
    found = visible(tests, 2)
    assert found is not None
    want = StdioTests(("1\n", "55\n"), ("2\n", "66\n"), "tokens", others=others[:2])
    assert found.tests == want
    assert found.texts[1] == "Input:\n55\n\nOutput:\n66\n"
    assert visible(tests, 3) is None


def test_a_prompt_that_lists_its_tests_keeps_the_visible_ones():
    listed = ["assert add(1, 2) == 3", "assert add(5, 6) == 11", "assert add(5, 6) == 110 / 10"]
    problem = problem_set.parse({"task_id": 1, "text": "Add two.", "test_list": listed})
    assert "add(5, 6) == 11" in problem.prompt
    asked = asked_in_turns(problem, EnvironmentConfig("mend", max_turns=2))
    assert asked.prompt == "Add two.\nIt must satisfy:\nassert add(1, 2) == 3"
    assert asked.tests == problem.tests
    two = EnvironmentConfig("mend", max_turns=2, visible_tests=2)
    assert asked_in_turns(problem, two).prompt.endswith("== 3\nassert add(5, 6) == 11")
    assert asked_in_turns(problem, EnvironmentConfig("mend")) == problem


def test_what_stands_behind_the_visible_tests_and_only_defines_something_stays():
    text = (
        "assert f(1) == 2\nassert f(3) == 4\nimport os\ndef check(g):\n    assert g(5) == 6\n"
        "class T:\n    at = 7\nx = f(8)\ncheck(f)"
    )
    left = code(text, 1)
    assert left == "assert f(1) == 2\nimport os\n\ndef check(g):\n    pass\n\nclass T:\n    at = 7"
