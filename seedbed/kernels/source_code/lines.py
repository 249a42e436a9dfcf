"""Line statistics of a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_NEWLINE = 10


@dataclass(frozen=True)
class Lines:
    """Number of lines, and their longest and mean length in characters.

    Only '\\n' ends a line, and it does not count as a character of it.
    """

    lines: int
    max_line: int
    mean_line: float


def line_stats(text: str) -> Lines:
    """Line statistics of `text`; an empty text has no lines."""
    if not text:
        return Lines(0, 0, 0.0)
    if text.isascii():
        characters = np.frombuffer(text.encode(), np.uint8)
    else:
        # One unit a character.
        characters = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    ends = np.flatnonzero(characters == _NEWLINE)
    lines = len(ends) + (not text.endswith("\n"))
    longest = len(text)
    if len(ends):
        between = int((ends[1:] - ends[:-1]).max()) - 1 if len(ends) > 1 else 0
        longest = max(int(ends[0]), between, len(text) - 1 - int(ends[-1]))
    return Lines(lines, longest, (len(text) - len(ends)) / lines)
