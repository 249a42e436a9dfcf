"""Greedy leader clustering of sets by true Jaccard similarity.

Every member is at least as similar to its leader as the threshold asks. The members of a group come
best first. The first one leads. Each later one joins the first leader that is similar enough, or
leads itself. So two leaders of a group are never near duplicates. Nor is a member the copy of a set
to which it is linked only through others.

This is the Pivot algorithm of Ailon, Charikar and Newman 2008, "Aggregating inconsistent
information: ranking and clustering", with the rank in place of a random order. The result depends
on the rank alone.
"""

from __future__ import annotations

import numpy as np

from seedbed.kernels.native import native
from seedbed.kernels.near_dup.jaccard import similarity_from
from seedbed.kernels.near_dup.shingles import Hashes


def leaders(sets: Hashes, groups: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """(leader, similarity) of each set: the index of its leader, int64, and the Jaccard with it.

    A leader has its own index and similarity 1. groups: int64 (sets,), the group of each set; the
    sets of a group stand together, best first. Memory beside the input: one index per set.
    """
    return _leaders(sets.values, sets.offsets, np.asarray(groups, np.int64), threshold)


@native
def _leaders(values, offsets, groups, threshold):  # type: ignore[no-untyped-def]
    n = groups.shape[0]
    leader = np.arange(n)
    similarity = np.ones(n)
    # The leaders of the current group, best first.
    led = np.empty(n, np.int64)
    count = 0
    for member in range(n):
        if member and groups[member] != groups[member - 1]:
            count = 0
        for k in range(count):
            other = led[k]
            begin, end = offsets[member], offsets[member + 1]
            found = similarity_from(
                values, begin, end, offsets[other], offsets[other + 1], threshold
            )
            if found >= threshold:
                leader[member] = other
                similarity[member] = found
                break
        if leader[member] == member:
            led[count] = member
            count += 1
    return leader, similarity
