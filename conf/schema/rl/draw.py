"""Settings of which problems a step of GRPO draws."""

from __future__ import annotations

from dataclasses import dataclass

from conf.errors import SeedbedError
from conf.schema.ranges import FewOrNone, ShareAboveNone


@dataclass(frozen=True)
class DrawConfig:
    """The defaults take each problem once per pass, as before any verdict is known."""

    # So often a step replaces its groups without signal by groups of other problems (DAPO's
    # dynamic sampling, arXiv 2503.14476 Sec 3.2). 0 trains on the groups that are left.
    refill_rounds: FewOrNone = 0
    # Draw problems in proportion to max(floor, 4 p (1 - p)), where p is the running pass rate.
    curriculum: bool = False
    # p moves towards a step's pass rate by this share of the difference. It starts at 1/2.
    newest_share: ShareAboveNone = 0.5
    # So that problems that always or never pass still come back.
    floor: ShareAboveNone = 0.1

    def check(self, lag: int) -> None:
        """Refuses a refill beside samples that are drawn ahead."""
        if self.refill_rounds and lag:
            raise SeedbedError(
                f"draw.refill_rounds={self.refill_rounds} with rollout_lag={lag}: the engine is "
                "then busy with the next step's samples",
                "set rollout_lag=0, or draw.refill_rounds=0",
            )
