"""What becomes of a step whose loss or gradient is not finite, or whose loss leaps: stop, skip its
batch, or go back and skip.

A step is judged before the optimizer touches a weight, so a refused one has changed nothing.
Skipping leaves its batch out and goes on. Rewinding loads the newest checkpoint and leaves out
every sample since then (PaLM, arXiv 2204.02311 Sec 5.1, did this by hand). Both are decided from
losses alone, so a run that is killed and resumed decides the same.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from conf.errors import SeedbedError
from conf.schema.pretrain import GuardConfig
from megatron_train.training.step import BadStep


class Guard:
    """losses: those of the last steps before this one, oldest first (at least config.window of
    them, where there are as many).
    """

    def __init__(self, config: GuardConfig, losses: Iterable[float]):
        self._config = config
        self._losses = deque(losses, maxlen=config.window)
        self._refused = 0

    def limit(self) -> float:
        """The loss above which the next step is a spike: mean + spike_deviations * standard
        deviation of the window.
        """
        if not self._config.spike_deviations or len(self._losses) < self._config.window:
            return math.inf
        mean = sum(self._losses) / len(self._losses)
        variance = sum((loss - mean) ** 2 for loss in self._losses) / len(self._losses)
        return mean + self._config.spike_deviations * math.sqrt(variance)

    def accept(self, loss: float) -> None:
        self._losses.append(loss)
        self._refused = 0

    def forget_after(self, losses: Iterable[float]) -> None:
        """The run went back: these are its last losses now."""
        self._losses = deque(losses, maxlen=self._config.window)

    def decide(self, bad: BadStep) -> str:
        """skip or rewind.

        Raises SeedbedError where the config says stop, or after guard.tries refused steps in a row.
        """
        action = self._config.spike if bad.is_spike else self._config.not_finite
        self._refused += 1
        if action == "stop":
            raise bad
        if self._refused > self._config.tries:
            raise SeedbedError(
                f"{self._refused} steps in a row were refused, guard.tries={self._config.tries}; the last: {bad.problem}",
                "lower optim.lr, look at the data (python -m megatron_train which_documents --step N), or raise guard.tries",
            )
        return action
