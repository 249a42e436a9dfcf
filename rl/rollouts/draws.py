"""Which problems a step draws: each once per pass, or by their running pass rates.

All of it is a function of the seed, the step and the verdicts of earlier steps, so that a run that
was killed draws the same again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

from conf.schema.rl import DrawConfig, GrpoConfig
from rl.rollouts.rewards import UNJUDGED
from rl.training.batches import sample_indices

# The pass rate of a problem that was never drawn. It gets the greatest weight.
UNSEEN = 0.5


class PassRates:
    """Running pass rates by problem, from the rows of rollouts.jsonl."""

    def __init__(self, rows: Iterable[dict[str, Any]]):
        # step -> task -> [passes, verdicts]
        self._steps: dict[int, dict[str, list[int]]] = defaultdict(dict)
        self.add(rows)

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Takes in rows with step, task_id and verdict. One without a verdict counts nowhere."""
        for row in rows:
            if row["verdict"] not in UNJUDGED:
                counts = self._steps[row["step"]].setdefault(row["task_id"], [0, 0])
                counts[0] += row["verdict"] == "pass"
                counts[1] += 1

    def until(self, step: int, newest_share: float) -> dict[str, float]:
        """task -> pass rate after `step`: an exponential mean of the rates of its steps."""
        rates: dict[str, float] = {}
        for number in sorted(self._steps):
            if number > step:
                break
            for task, (passes, verdicts) in self._steps[number].items():
                before = rates.get(task, UNSEEN)
                rates[task] = before + newest_share * (passes / verdicts - before)
        return rates


def weight(rate: float, floor: float) -> float:
    """max(floor, 4 p (1 - p)): 1 at a pass rate of 1/2, in proportion to the rewards' variance.

    An advantage compares the samples of a group, so a problem teaches most where they differ most.
    """
    return max(floor, 4 * rate * (1 - rate))


def by_pass_rate(
    tasks: Sequence[str], rates: dict[str, float], cfg: DrawConfig, count: int, key: str
) -> list[int]:
    """Indices of `count` different problems, drawn without replacement in proportion to weights.

    The draw is Efraimidis and Spirakis' (Information Processing Letters 97, 2006): the smallest
    exponential variables of rate weight, each drawn from (key, task). Where there are fewer
    problems than `count`, they come again in the same order.
    """

    def arrival(index: int) -> float:
        drawn = Random(f"{key}:{tasks[index]}").random()
        return -math.log(1 - drawn) / weight(rates.get(tasks[index], UNSEEN), cfg.floor)

    order = sorted(range(len(tasks)), key=arrival)
    return [order[i % len(order)] for i in range(count)]


def problems_of_step(
    cfg: GrpoConfig, tasks: Sequence[str], rates: PassRates | None, step: int
) -> list[int]:
    """Indices of the problems that step + 1 trains on.

    rates: with a curriculum, those of earlier steps. What was drawn ahead did not know the verdicts
    of the step before it, and must not know them when a run is started again.
    """
    if rates is None:
        return sample_indices(len(tasks), step * cfg.prompts, cfg.prompts, cfg.seed)
    known = rates.until(step - cfg.rollout_lag, cfg.draw.newest_share)
    return by_pass_rate(tasks, known, cfg.draw, cfg.prompts, f"{cfg.seed}:curriculum:{step}")
