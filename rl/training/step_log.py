"""Seconds by part, the time left, and GRPO's line on the screen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stopwatch:
    """Times the parts of each step, and from the steps so far tells the seconds left."""

    def __init__(self, steps: int):
        self._left, self._taken = steps, 0
        self._began = time.perf_counter()
        self._parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._parts[name] = self._parts.get(name, 0.0) + time.perf_counter() - started

    def end_step(self) -> dict[str, float]:
        """Seconds by part since the last call."""
        parts = {name: round(seconds, 3) for name, seconds in self._parts.items()}
        self._parts.clear()
        self._left -= 1
        self._taken += 1
        return parts

    @property
    def eta(self) -> float:
        return (time.perf_counter() - self._began) / max(self._taken, 1) * self._left


def line(row: dict[str, Any], steps: int, eta: float) -> str:
    """One row of GRPO's metrics.jsonl for the screen."""
    verdicts = " ".join(f"{name} {share:.0%}" for name, share in row["shares"].items())
    if "reward" not in row:
        return f"before training: held-out reward {row['heldout_reward']:.3f}  {verdicts}"
    seconds = " ".join(f"{name} {value:.1f}" for name, value in row["seconds"].items())
    heldout = (
        ""
        if row["heldout_reward"] is None
        else f"\n    held-out reward {row['heldout_reward']:.3f}"
    )
    return (
        f"step {row['step']:>{len(str(steps))}}/{steps}  reward {row['reward']:.3f}  "
        f"signal {row['groups_with_signal']}/{row['groups']} groups  {verdicts}  {row['response_tokens']:.0f} tokens  "
        f"loss {row['loss']:+.4f}  seconds: {seconds}  ETA {int(eta) // 60}:{int(eta) % 60:02d}{heldout}"
    )
