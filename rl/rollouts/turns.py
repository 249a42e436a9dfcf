"""The turns of an episode, and the one token sequence that training sees of them. Pure.

A sequence is the first prompt and then the response: the answers, with what the model was told
between them. Its tokens are those that were sampled and those that the next prompt really had, so
no text is made into tokens twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from seedbed.inference.engine import Sample

# Why an episode is over.
ENDS = {
    "turns": "it had all its turns",
    "passed": "the visible tests passed",
    "cut": "max_response cut the answer off",
    "context": "the next turn does not fit into max_context",
    "unjudged": "there is no verdict on a trial, or the environment failed",
    "stopped": "the answer ends with another token than the chat template's",
    "over": "the environment has nothing more to say",
}


@dataclass(frozen=True)
class Turn:
    """One answer, and what came back.

    verdict, reason: of the trial on visible tests; "" where nothing was tried. told: the ids
    between this answer and the next one, and observation their text; empty behind the last answer.
    """

    sample: Sample
    text: str
    verdict: str = ""
    reason: str = ""
    observation: str = ""
    told: Sequence[int] = ()


@dataclass(frozen=True)
class Dialogue:
    """The turns of an episode, at least one, and why it ended (a key of ENDS)."""

    turns: tuple[Turn, ...]
    ended: str

    @classmethod
    def of_json(cls, row: dict[str, Any]) -> Dialogue:
        """The dialogue of what dataclasses.asdict gave, also after a journey through JSON."""
        turns = [Turn(**{**turn, "sample": Sample(**turn["sample"])}) for turn in row["turns"]]
        return cls(tuple(turns), row["ended"])

    @property
    def sample(self) -> Sample:
        """The response as one sample. What was told has log-probability 0, which nothing reads.

        It is finished where its last answer is.
        """
        tokens: list[int] = []
        logprobs: list[float] = []
        for turn in self.turns:
            tokens += [*turn.sample.tokens, *turn.told]
            logprobs += [*turn.sample.logprobs, *[0.0] * len(turn.told)]
        last = self.turns[-1].sample
        return Sample(tokens, logprobs, last.finished, last.text)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """[start, end) of each answer in the tokens of `sample`."""
        found, at = [], 0
        for turn in self.turns:
            end = at + len(turn.sample.tokens)
            found.append((at, end))
            at = end + len(turn.told)
        return found


def mask(spans: Iterable[tuple[int, int]], length: int) -> list[bool]:
    """For each of `length` tokens whether it lies in a span, and so was sampled."""
    found = [False] * length
    for start, end in spans:
        found[start:end] = [True] * (end - start)
    return found
