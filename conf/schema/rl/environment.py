"""Settings of the environment that GRPO's samples are drawn in: how often a model answers."""

from __future__ import annotations

from dataclasses import dataclass

from conf.errors import SeedbedError
from conf.schema.checks import one_of
from conf.schema.ranges import Count, CountOrNone, Few, in_range


@dataclass(frozen=True)
class EnvironmentConfig:
    """The default asks once, as the recipe does. What else is here is not in the paper."""

    # single, mend (write, run the visible tests, mend), or PACKAGE.MODULE.FUNCTION of your own,
    # found from the current folder and called outside of the trainer (docs/post-train.md).
    name: str = "single"
    # Answers of an episode at most, each of at most max_response tokens.
    max_turns: Few = 1
    # So many of a problem's tests, the first ones, are run between the turns. The others are
    # hidden.
    visible_tests: CountOrNone = 1
    # Characters of what comes back between two answers. The middle of a longer text is left out.
    max_observation: Count = 600
    # Tokens of a whole episode with all its prompts. An episode ends before a turn that would not
    # fit.
    max_context: CountOrNone = 0
    # Seconds for one call of a function of your own.
    function_timeout_s: Count = 10

    @property
    def is_own(self) -> bool:
        """Whether a function of the user's is the environment."""
        return "." in self.name

    def check(self, first_turn: int) -> None:
        """Refuses names of nothing, and turns for which there is no room.

        first_turn: tokens that the first prompt and answer may take.
        """
        if not self.is_own:
            one_of("environment.name", self.name, "single", "mend")
        in_range(self, "environment.")
        if self.visible_tests < (0 if self.is_own else 1):
            raise SeedbedError(
                f"environment.visible_tests={self.visible_tests}: {self.name} runs at least one",
                "use environment.visible_tests=1",
            )
        if self.name == "single" and self.max_turns != 1:
            raise SeedbedError(
                f"environment.max_turns={self.max_turns} with environment.name=single, "
                "which asks once",
                "set environment.name=mend, or max_turns=1",
            )
        if self.max_turns > 1 and self.max_context <= first_turn:
            raise SeedbedError(
                f"environment.max_context={self.max_context} has no room for a second answer: the "
                f"first turn may take max_prompt + max_response = {first_turn} tokens",
                "set environment.max_context to the tokens of a whole episode, such as "
                f"{2 * first_turn}",
            )
        if self.max_turns == 1 and self.max_context:
            raise SeedbedError(
                f"environment.max_context={self.max_context} with environment.max_turns=1: "
                "max_prompt and max_response bound a single turn",
                "set environment.max_context=0, or more turns",
            )
