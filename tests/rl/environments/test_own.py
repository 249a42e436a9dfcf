"""An environment of the user's runs beside the trainer, and its faults are no verdict."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from conf.schema.rl import EnvironmentConfig
from rl.environments.registry import open_environment
from rl.problems import problem_set

PROBLEM = problem_set.parse(
    {"task_id": "a", "prompt": "p", "test_list": ["assert f(3) == 4", "assert f(7) == 8"]}
)
WORDS = "tests.rl.environments.own_environments."


def config(name: str, **more: int) -> EnvironmentConfig:
    return EnvironmentConfig(WORDS + name, max_turns=4, function_timeout_s=4, **more)


def test_a_function_sees_the_whole_episode_and_says_what_comes_next():
    with open_environment(config("patient")) as environment:
        episode = environment.begin(PROBLEM)
        trial = episode.act("def f(x):\n    return 2")
        assert trial is not None
        assert "7" not in str(trial.tests)
        episode.learn("fail", "no")
        assert episode.observe() == "a: fail of 'def f(x):\\n    return 2'; once more"
        episode.act("again")
        episode.learn("error", "no program")
        assert episode.observe() == ""
        assert episode.fault == ""


def test_without_visible_tests_nothing_is_tried():
    with open_environment(config("patient", visible_tests=0)) as environment:
        episode = environment.begin(PROBLEM)
        assert episode.act("def f(x):\n    return 2") is None
        assert episode.observe().startswith("a:  of ")


def test_a_function_that_fails_ends_its_episode_and_no_other():
    with open_environment(config("moody")) as environment:
        faults = {}
        for what in ("die", "sleep", "raise", "number", "well"):
            episode = environment.begin(PROBLEM)
            episode.act(what)
            said, faults[what] = episode.observe(), episode.fault
            assert said == ("go on" if what == "well" else "")
    assert "exit code 7" in faults["die"]
    assert "no answer within 4 s" in faults["sleep"]
    assert "ValueError: of mine" in faults["raise"]
    assert "returned int, which is no text" in faults["number"]
    assert faults["well"] == ""


def test_a_function_that_is_not_there_is_refused():
    with (
        pytest.raises(SeedbedError, match=r"environment\.name=.*missing cannot be used"),
        open_environment(config("missing")),
    ):
        pass
