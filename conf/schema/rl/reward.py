"""Settings of GRPO's rewards: what a sample earns beyond the sandbox's verdict."""

from __future__ import annotations

from dataclasses import dataclass

from conf.errors import SeedbedError
from conf.schema.checks import one_of
from conf.schema.ranges import Amount, Count, CountOrNone


@dataclass(frozen=True)
class RewardConfig:
    """The defaults are the recipe's: 1 for a program that passes every test, else 0 (Sec 3.2)."""

    # `pass` is 1 or 0. `fraction` gives a failing program the share of tests that it passes alone.
    kind: str = "pass"
    # With `fraction`: at most so many tests of a problem are judged one by one.
    fraction_tests: Count = 32
    # PACKAGE.MODULE.FUNCTION of your own, found from the current folder. It is called outside of
    # the trainer with each judged sample (docs/post-train.md), and what it returns is the reward.
    function: str = ""
    # Seconds for one call of it.
    function_timeout_s: Count = 10
    # DAPO's soft penalty (arXiv 2503.14476 eq. 13) grows from 0 to -1 over the last so many tokens
    # before max_response. 0 is none. Set mask_overlong=false, or cut samples do not train.
    overlong_cache: CountOrNone = 0
    # Weight of Kimi k1.5's preference for short answers in a group (arXiv 2501.12599 Sec 2.3.3).
    length_weight: Amount = 0.0
    # Taken from the reward of a completion that holds no program.
    malformed_penalty: Amount = 0.0

    def check(self, shortest: int) -> None:
        """Refuses unknown names, and a cache of overlong tokens above the shortest max_response."""
        one_of("reward.kind", self.kind, "pass", "fraction")
        if self.function and "." not in self.function:
            raise SeedbedError(
                f"reward.function={self.function!r} names no module",
                "write it as MODULE.FUNCTION, such as my_rewards.short_and_right",
            )
        if not 0 <= self.overlong_cache <= shortest:
            raise SeedbedError(
                f"reward.overlong_cache={self.overlong_cache} must lie between 0 and "
                f"max_response={shortest}",
                "DAPO has 4096 of 20480",
            )
