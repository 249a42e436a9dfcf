"""A snippet on its way to a problem, and the reasons why it may end before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from rl.synthesis.snippets import Snippet
from seedbed.kernels import ngrams

# Step -> the reasons why a snippet may end there, in the order in which they are checked.
# `refused`: the server refused the prompt, or it was too long.
REASONS: dict[str, tuple[str, ...]] = {
    "task": ("refused", "no_task"),
    "restyle": ("refused", "no_task", "duplicate", "contaminated"),
    "solve": ("refused", "no_program"),
    "syntax": ("syntax_error",),
    "judge": ("refused", "no_grade", "judged_wrong"),
    "difficulty": ("refused", "no_grade", "too_easy"),
    "tests": ("refused", "no_tests"),
    "sandbox": ("refused", "no_repair", "fails_its_tests", "tests_prove_nothing", "contaminated"),
}


@dataclass
class Draft:
    """A snippet on its way. After the last step it is a problem where `reason` is None.

    step: the last step that it entered. rounds: how often it was repaired. tokens_in, tokens_out:
    tokens of its prompts and answers.
    """

    snippet: Snippet
    task: str = ""
    prompt: str = ""
    code: str = ""
    tests: tuple[str, ...] = ()
    topic: str = ""
    correctness: int | None = None
    difficulty: int | None = None
    rounds: int = 0
    step: str = ""
    reason: str | None = None
    detail: str = ""
    tokens_in: int = 0
    tokens_out: int = 0

    def drop(self, reason: str, detail: str) -> None:
        """Ends the draft."""
        self.reason, self.detail = reason, detail[:500]

    def row(self) -> dict[str, Any]:
        """The draft's row of the table `synthetic`."""
        names = (
            "task",
            "prompt",
            "code",
            "topic",
            "correctness",
            "difficulty",
            "rounds",
            "step",
            "reason",
            "detail",
        )
        kept = {name: getattr(self, name) for name in (*names, "tokens_in", "tokens_out")}
        seed = {
            name: value
            for name, value in vars(self.snippet).items()
            if name not in ("text", "styles")
        }
        return {**seed, **kept, "styles": list(self.snippet.styles), "test_list": list(self.tests)}


@dataclass
class Yield:
    """How many drafts entered a step and left it, why others ended, and the tokens it took.

    The tokens count answers that are asked now and answers that were kept from before.
    """

    entered: int = 0
    left: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


def task_hash(text: str) -> str:
    """Hash of a task's words. Layout and case do not make another task."""
    return hashlib.sha256(b" ".join(ngrams.words(text))).hexdigest()
