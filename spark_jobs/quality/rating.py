"""An oracle's answer -> its rating, or the reason why it is none.

The rating is the answer's last line that is not blank, and it must be the whole of it. Nothing else
in the answer is looked
at: an explanation that quotes a rating line, or a file that talked the oracle into writing another,
gives a failure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from spark_jobs.quality.label_file import ASPECTS, ZERO_REASONS

# whole or half points, 0-10
GRADE = r"(?:10|[0-9](?:\.5)?)"
ZERO = "|".join(("none", *filter(None, ZERO_REASONS)))
LINE = (
    "RATING "
    + " ".join(f"{name}={GRADE}" for name in ASPECTS)
    + f" zero=(?:{ZERO}) overall={GRADE}"
)
# What an engine with structured output may write: one paragraph, then the line (no groups that a
# grammar engine lacks).
ANSWER = r"[^\n]{1,800}\n" + LINE.replace("(?:", "(")
_PARSED = re.compile(
    "RATING "
    + " ".join(f"{name}=(?P<{name}>{GRADE})" for name in ASPECTS)
    + f" zero=(?P<zero>{ZERO}) overall=(?P<overall>{GRADE})"
)


@dataclass(frozen=True)
class Rating:
    """Grades 0-10, in the order of label_file.ASPECTS; `zero_reason` "" where the zero policy does
    not hold.
    """

    score: float
    aspects: tuple[float, float, float, float]
    zero_reason: str


def parse(answer: str) -> Rating | str:
    """The rating of an answer, or why it has none."""
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
