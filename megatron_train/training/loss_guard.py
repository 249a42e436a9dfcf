"""The loss guard: what happens after a step whose loss or gradient is not finite, or a loss spike.

It stops the run, skips the step's batch, or goes back to a checkpoint and skips all batches since.
A step is judged before the optimizer touches a weight, so a refused step has changed nothing.
Rewinding leaves out every sample since the newest checkpoint; PaLM's authors did this by hand
(arXiv 2204.02311 Sec 5.1). The guard decides from losses alone, so a run that is killed and resumed
decides the same.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from conf.errors import SeedbedError
from conf.schema.pretrain import GuardConfig
from megatron_train.training.state import BadStep


class LossGuard:
    """losses: those of the last accepted steps, oldest first.

    There are at least config.window of them, where the run has taken so many steps.
    """

    def __init__(self, config: GuardConfig, losses: Iterable[float]):
        self._config = config
        self._losses = deque(losses, maxlen=config.window)
        self._refused = 0

    def limit(self) -> float:
        """The loss above which the next step is a spike; infinite before the window is full.

        It is the window's mean plus spike_deviations times its standard deviation.
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
        """The run went back, and `losses` are its last ones now."""
        self._losses = deque(losses, maxlen=self._config.window)

    def decide(self, bad: BadStep) -> str:
        """skip or rewind.

        Raises:
            SeedbedError: where the config says stop, or after guard.tries refused steps in a row.
        """
        action = self._config.spike if bad.is_spike else self._config.not_finite
        self._refused += 1
        if action == "stop":
            raise bad
        if self._refused > self._config.tries:
            raise SeedbedError(
                f"{self._refused} steps in a row were refused, guard.tries={self._config.tries}; "
                f"the last: {bad.problem}",
                "lower optim.lr, look at the data (python -m megatron_train which_documents "
                "--step N), or raise guard.tries",
            )
        return action
