"""Parses an oracle's answer: its rating, or the reason why it holds none.

The rating must be the whole of the answer's last line that is not blank. The rest of the answer is
ignored. So an explanation after the rating, or a second rating on the line, gives a failure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from spark_jobs.quality.label_file import ASPECTS, ZERO_REASONS

# Whole or half points from 0 to 10.
GRADE = r"(?:10|[0-9](?:\.5)?)"
ZERO = "|".join(("none", *filter(None, ZERO_REASONS)))
LINE = (
    "RATING "
    + " ".join(f"{name}={GRADE}" for name in ASPECTS)
    + f" zero=(?:{ZERO}) overall={GRADE}"
)
# What an engine with structured output may write: one paragraph, then the line. Grammar engines
# lack groups that do not capture.
ANSWER = r"[^\n]{1,800}\n" + LINE.replace("(?:", "(")
_PARSED = re.compile(
    "RATING "
    + " ".join(f"{name}=(?P<{name}>{GRADE})" for name in ASPECTS)
    + f" zero=(?P<zero>{ZERO}) overall=(?P<overall>{GRADE})"
)


@dataclass(frozen=True)
class Rating:
    """Grades from 0 to 10; `aspects` in the order of label_file.ASPECTS.

    zero_reason is "" where the zero policy does not hold.
    """

    score: float
    aspects: tuple[float, float, float, float]
    zero_reason: str


def parse(answer: str) -> Rating | str:
    """The rating of an answer, or the reason why it has none."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    if not lines:
        return "empty answer"
    found = _PARSED.fullmatch(lines[-1])
    if found is None:
        return "the last line is not a rating"
    zero, score = found["zero"], float(found["overall"])
    if (zero != "none") != (score == 0):
        return f"zero={zero} beside overall={score:g}"
    aspects = tuple(float(found[name]) for name in ASPECTS)
    return Rating(score, aspects, "" if zero == "none" else zero)  # type: ignore[arg-type]
