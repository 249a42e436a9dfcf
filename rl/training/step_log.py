"""What GRPO says of a step: the seconds of its parts, and the line on the screen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rl.training.loop import minutes


class Stopwatch:
    """Times the parts of each step."""

    def __init__(self) -> None:
        self._parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the seconds of the block to those of the part `name`."""
        started = time.perf_counter()
        yield
        self._parts[name] = self._parts.get(name, 0.0) + time.perf_counter() - started

    def end_step(self) -> dict[str, float]:
        """Seconds by part since the last call."""
        parts = {name: round(seconds, 3) for name, seconds in self._parts.items()}
        self._parts.clear()
        return parts


def first_line(row: dict[str, Any]) -> str:
    """Row 0 of GRPO's metrics.jsonl, the evaluation before training, for the screen."""
    reward, verdicts = row["heldout_reward"], _verdicts(row)
    return f"before training: held-out reward {reward:.3f}  {verdicts}"


def line(row: dict[str, Any], steps: int, eta: float) -> str:
    """The row of a step of GRPO for the screen. eta: seconds left."""
    seconds = " ".join(f"{name} {value:.1f}" for name, value in row["seconds"].items())
    heldout = ""
    if row["heldout_reward"] is not None:
        heldout = f"\n    held-out reward {row['heldout_reward']:.3f}"
    return (
        f"step {row['step']:>{len(str(steps))}}/{steps}  reward {row['reward']:.3f}  "
        f"signal {row['groups_with_signal']}/{row['groups']} groups  {_verdicts(row)}  "
        f"{row['response_tokens']:.0f} tokens  loss {row['loss']:+.4f}  seconds: {seconds}  "
        f"ETA {minutes(eta)}{heldout}"
    )


def _verdicts(row: dict[str, Any]) -> str:
    return " ".join(f"{name} {share:.0%}" for name, share in row["shares"].items())
