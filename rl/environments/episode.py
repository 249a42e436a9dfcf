"""The interface of an environment: one episode per sample, which acts, learns and observes.

An episode begins with the problem's question (rl.rollouts.sampler.question). After each answer
`player.py` calls, in this order,

    act(text)       the answer; gives a program that the sandbox is to try, or None
    learn(trial)    what the sandbox said of it, where there was one
    observe()       what the model is told next; "" where the episode is over

and at the end `Environment.reward`. Episodes run nothing themselves, so that the trials of all
live episodes are judged together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

from conf.schema.rl import EnvironmentConfig
from rl.problems.problem_set import Problem
from rl.rollouts.rewards import UNJUDGED, Reward
from rl.rollouts.turns import Turn
from seedbed.sandbox import Tests


@dataclass(frozen=True)
class Trial:
    """A program, as `program_of` gives it, that the sandbox tries on some tests of its problem."""

    program: str
    tests: Tests


class Episode(ABC):
    """One problem, asked in turns.

    fault: why the episode cannot go on, where that is no fault of the model; its sample then has
    no verdict.
    """

    fault = ""

    @abstractmethod
    def act(self, text: str) -> Trial | None:
        """Takes an answer of the model; gives what is to be tried before the next observation."""

    @abstractmethod
    def learn(self, verdict: str, reason: str) -> None:
        """Takes the sandbox's verdict on the trial. It is none of UNJUDGED."""

    @abstractmethod
    def observe(self) -> str:
        """What the user says to the last answer; "" where the episode is over."""


class Environment(ABC):
    """Begins episodes, and says what a finished one earns."""

    def __init__(self, cfg: EnvironmentConfig):
        self.cfg = cfg

    @abstractmethod
    def begin(self, problem: Problem) -> Episode:
        """A new episode of a problem."""

    def unfit(self, problem: Problem) -> str:
        """Why a run cannot train on a problem in this environment; "" where it can."""
        return ""

    def reward(self, turns: Sequence[Turn], judged: Sequence[Reward]) -> Reward:
        """The reward of an episode: that of the program in its last answer.

        judged: the reward of each answer by all tests of the problem. An episode that ended
        because a trial had no verdict has none either, since the model was not told what it should
        have been.
        """
        last = turns[-1]
        if last.verdict in UNJUDGED:
            reason = f"between two turns: {last.reason}"
            return replace(judged[-1], counted=False, verdict=last.verdict, reason=reason)
        return judged[-1]

    def close(self) -> None:
        """Lets go of what the environment owns."""


class AskedOnce(Episode):
    """The question and one answer."""

    def act(self, text: str) -> Trial | None:
        return None

    def learn(self, verdict: str, reason: str) -> None:
        """Nothing was tried."""

    def observe(self) -> str:
        return ""


class Single(Environment):
    """Asks once. The reward is that of the answer."""

    def begin(self, problem: Problem) -> Episode:
        return AskedOnce()
