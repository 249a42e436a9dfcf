"""An environment of the user's: a function that says what a model is told after its answer.

It is called in a process of its own, as reward functions are (rl/shaping/custom.py). It keeps
nothing between two calls: each gets the whole episode so far. So a process that dies loses none.
"""

from __future__ import annotations

from typing import Any

from conf.schema.rl import EnvironmentConfig
from rl.environments.episode import Environment, Episode, Trial
from rl.environments.visible import VisibleTests, visible
from rl.problems.problem_set import Problem
from rl.rollouts.rewards import program_of
from rl.shaping.custom import OwnFunction


class OwnEpisode(Episode):
    """A problem, and what has been said and found so far."""

    def __init__(self, problem: Problem, shown: VisibleTests | None, function: OwnFunction):
        self._problem, self._shown, self._function = problem, shown, function
        self._turns: list[dict[str, Any]] = []

    def act(self, text: str) -> Trial | None:
        program = program_of(self._problem, text)
        found = {"completion": text, "program": program, "verdict": "", "reason": ""}
        self._turns.append(found)
        return None if self._shown is None else Trial(program, self._shown.tests)

    def learn(self, verdict: str, reason: str) -> None:
        self._turns[-1] |= {"verdict": verdict, "reason": reason}

    def observe(self) -> str:
        told = {"task_id": self._problem.task_id, "prompt": self._problem.prompt}
        answer = self._function.ask({**told, "turns": self._turns})
        if "error" in answer:
            self.fault = f"environment: {answer['error']}"
            return ""
        self._turns[-1]["observation"] = answer["value"]
        return answer["value"]


class OwnEnvironment(Environment):
    """The function at environment.name; it owns the function's process."""

    def __init__(self, cfg: EnvironmentConfig):
        """Raises SeedbedError where there is no such function."""
        super().__init__(cfg)
        self._function = OwnFunction("environment.name", cfg.name, cfg.function_timeout_s, "text")

    def begin(self, problem: Problem) -> Episode:
        shown = visible(problem.tests, self.cfg.visible_tests) if self.cfg.visible_tests else None
        return OwnEpisode(problem, shown, self._function)

    def close(self) -> None:
        self._function.close()
