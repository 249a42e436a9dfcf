"""How files of problems are read, wherever problems come from outside."""

from __future__ import annotations

from dataclasses import dataclass

from conf.schema.ranges import CountOrNone


@dataclass(frozen=True)
class ProblemFileConfig:
    """How files of problems are read, in training as by `rl.evaluate` (docs/post-train.md)."""

    # The form of all rows of a file. Empty lets each row tell. Tables name their own.
    format: str = ""
    # Bad rows of a file that are named and skipped before the run stops.
    max_bad: CountOrNone = 10
