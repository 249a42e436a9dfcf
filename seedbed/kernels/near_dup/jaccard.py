"""True Jaccard similarity of sets of shingle hashes, |A and B| / |A or B|.

Two sets are compared by merging their ascending runs.
"""

from __future__ import annotations

import numpy as np

from seedbed.kernels.native import native
from seedbed.kernels.near_dup.shingles import Hashes


def jaccard(sets: Hashes, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Jaccard similarity, float64, of sets left[i] and right[i] (int64 indices).

    Two empty sets have similarity 0.
    """
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


def similar_pairs(
    sets: Hashes, asked: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of a set in `asked` and another set that are at least `threshold` similar.

    asked: int64 indices of sets. Returns three arrays, found by brute force: the positions in
    `asked`, the indices of the other sets, and the similarities.
    """
    return _similar_pairs(sets.values, sets.offsets, np.asarray(asked, np.int64), threshold)


@native
def similarity_from(values, i, i_end, j, j_end, threshold):  # type: ignore[no-untyped-def]
    """Jaccard of the ascending runs values[i:i_end] and values[j:j_end].

    Returns 0 as soon as the similarity is sure to stay below `threshold`, which saves time.
    """
    total = (i_end - i) + (j_end - j)
    common = 0
    while i < i_end and j < j_end:
        left = min(i_end - i, j_end - j)
        # The bound is reached if all that is left is common to both.
        if (common + left) / (total - common - left) < threshold:
            return 0.0
        # The bound moves slowly, so it is checked every 32 steps.
        stop = min(i + 32, i_end)
        while i < stop and j < j_end:
            x, y = values[i], values[j]
            common += x == y
            i += x <= y
            j += y <= x
    return common / (total - common) if total else 0.0


@native
def _similar_pairs(values, offsets, asked, threshold):  # type: ignore[no-untyped-def]
    query, other, found = (
        [np.int64(0) for _ in range(0)],
        [np.int64(0) for _ in range(0)],
        [0.0 for _ in range(0)],
    )
    for q in range(asked.shape[0]):
        a = asked[q]
        for b in range(offsets.shape[0] - 1):
            if a == b or offsets[a] == offsets[a + 1]:
                continue
            similarity = similarity_from(
                values, offsets[a], offsets[a + 1], offsets[b], offsets[b + 1], threshold
            )
            if similarity >= threshold:
                query.append(np.int64(q))
                other.append(np.int64(b))
                found.append(similarity)
    return np.array(query), np.array(other), np.array(found)
