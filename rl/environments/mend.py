"""Write, run the visible tests, mend: a model is told how its program failed, and tries again."""

from __future__ import annotations

from rl.environments.episode import Environment, Episode, Trial
from rl.environments.visible import VisibleTests, visible
from rl.problems.problem_set import Problem
from rl.rollouts.rewards import program_of

# "" is for a program that passes: nothing is left to say.
_TOLD = "{}: {}\n{}Mend the program. Answer with the whole program."


class MendEpisode(Episode):
    """A problem whose visible tests are run after each answer, until they pass."""

    def __init__(self, problem: Problem, shown: VisibleTests | None):
        """shown: None where no test can be shown. The problem is then asked once."""
        self._problem, self._shown = problem, shown
        self._verdict = self._reason = ""

    def act(self, text: str) -> Trial | None:
        if self._shown is None:
            return None
        return Trial(program_of(self._problem, text), self._shown.tests)

    def learn(self, verdict: str, reason: str) -> None:
        self._verdict, self._reason = verdict, reason

    def observe(self) -> str:
        if self._shown is None or self._verdict == "pass":
            return ""
        # An AssertionError names its test. Else the tests are told, since a model that does not
        # know them cannot find out what was asked.
        named = any(text in self._reason for text in self._shown.texts)
        tests = "" if named else "".join(f"{text}\n" for text in self._shown.texts)
        return _TOLD.format(self._verdict, self._reason, tests)


class Mend(Environment):
    """The reward is that of the last program by all tests, of which most are hidden."""

    def begin(self, problem: Problem) -> Episode:
        return MendEpisode(problem, visible(problem.tests, self.cfg.visible_tests))

    def unfit(self, problem: Problem) -> str:
        if self.cfg.max_turns == 1 or visible(problem.tests, self.cfg.visible_tests) is not None:
            return ""
        return (
            f"its tests cannot be divided into {self.cfg.visible_tests} to show "
            "(environment.visible_tests) and others to hide"
        )
