"""A cheap student before a language model: what the student finds clearly worthless is not read by
the model.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pyarrow as pa


class _Scores(Protocol):
    def score(self, texts: pa.Array, languages: list[str | None]) -> np.ndarray: ...


class FirstPass:
    """Scores by `student` where it gives less than `below`, by `teacher` everywhere else.

    Only the low side is decided: a cut drops from below, and the student's low scores are its sure
    ones (rule and zero stage).
    """

    def __init__(self, version: str, student: _Scores, teacher: _Scores, below: float):
        self.version, self._student, self._teacher, self._below = version, student, teacher, below

    def score(self, texts: pa.Array, languages: list[str | None]) -> np.ndarray:
        """Quality on [0, 1]."""
        quality = self._student.score(texts, languages)
        open_ = np.flatnonzero(quality >= self._below)
        if len(open_):
            quality[open_] = self._teacher.score(
                texts.take(pa.array(open_)), [languages[i] for i in open_]
            )
        return quality
