"""A cheap student before a language model: the model skips what the student rates as worthless."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pyarrow as pa


class _Scores(Protocol):
    def score(self, texts: pa.Array, languages: list[str | None]) -> np.ndarray: ...


class FirstPass:
    """Takes the score of `student` where it is less than `below`, else that of `teacher`.

    The student decides only low scores. A cut drops the lowest contents, and the student is surest
    there, because of its rule and its zero stage.
    """

    def __init__(self, version: str, student: _Scores, teacher: _Scores, below: float):
        self.version, self._student, self._teacher, self._below = version, student, teacher, below

    def score(self, texts: pa.Array, languages: list[str | None]) -> np.ndarray:
        """Quality on [0, 1], float64 (texts,)."""
        quality = self._student.score(texts, languages)
        open_ = np.flatnonzero(quality >= self._below)
        if len(open_):
            quality[open_] = self._teacher.score(
                texts.take(pa.array(open_)), [languages[i] for i in open_]
            )
        return quality
