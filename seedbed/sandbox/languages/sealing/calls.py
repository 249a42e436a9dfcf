"""Takes the calls and the expected values out of tests that MultiPL-E made.

Such tests are regular: one line per case, which compares `candidate(...)` with a literal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

# What stands before each answer on stdout, so that a program may print, too.
MARK = "\x01"
_CLOSE = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Case:
    """The arguments of one call, and the value that it is compared with, both as source text."""

    arguments: str
    expected: str


@dataclass(frozen=True)
class Sealed:
    """Tests taken apart, so that the program never holds an expected value.

    calls: how many there are.
    answers: source that follows the program. It prints MARK and the answer of each call.
    expected: a whole program. It prints the same lines of the expected values.
    judge: in place of `expected`, makes a whole program from the answers; its exit status decides.
    """

    calls: int
    answers: str
    expected: str = ""
    judge: Callable[[list[str]], str] | None = None


def closing(text: str, start: int) -> int:
    """Where the bracket at `start` closes; -1 where it never does. Quoted brackets do not count."""
    waits: list[str] = []
    at = start
    while at < len(text):
        letter = text[at]
        if letter in "\"'`":
            at = _end_of_quote(text, at)
        elif letter in _CLOSE:
            waits.append(_CLOSE[letter])
        elif waits and letter == waits[-1]:
            waits.pop()
            if not waits:
                return at
        at += 1
    return -1


def _end_of_quote(text: str, start: int) -> int:
    quote, at = text[start], start + 1
    # A lifetime of Rust ('a) is no quote: a character literal closes within a few places.
    if quote == "'" and not re.match(r"'(\\.[^']{0,8}|[^'\\\n]*)'", text[start:]):
        return start
    while at < len(text) and text[at] != quote:
        at += 2 if text[at] == "\\" else 1
    return at


def cases(text: str, begin: str, between: str, end: str) -> list[Case]:
    """The cases of a text, in order.

    begin: a pattern that ends in the bracket which opens the arguments. between: a pattern from
    there to the expected value. end: a pattern of what follows it, up to the end of the line.

    Gives none where a line that begins a case does not go on as one.
    """
    found = []
    for start in re.finditer(begin, text):
        opens = start.end() - 1
        closes = closing(text, opens)
        after = re.compile(between).match(text, closes + 1) if closes > 0 else None
        if after is None:
            return []
        line = text.find("\n", after.end())
        rest = text[after.end() : line if line >= 0 else len(text)]
        last = re.search(end, rest)
        if last is None:
            return []
        found.append(Case(text[opens + 1 : closes], rest[: last.start()]))
    return found
