"""True Jaccard similarity of sets of shingle hashes: |A and B| / |A or B|, by merging two ascending runs."""

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.native import native
from spark_jobs.kernels.shingles import Hashes


def jaccard(sets: Hashes, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Jaccard similarity, float64, of sets left[i] and right[i] (int64 indices). Two empty sets have similarity 0."""
    return _jaccard(sets.values, sets.offsets, left, right)


@native
def _jaccard(values, offsets, left, right):  # type: ignore[no-untyped-def]
    out = np.zeros(left.shape[0], np.float64)
    for pair in range(left.shape[0]):
        i, i_end = offsets[left[pair]], offsets[left[pair] + 1]
        j, j_end = offsets[right[pair]], offsets[right[pair] + 1]
        total = (i_end - i) + (j_end - j)
        common = 0
        while i < i_end and j < j_end:
            x, y = values[i], values[j]
            common += x == y
            i += x <= y
            j += y <= x
        if total:
            out[pair] = common / (total - common)
    return out
