"""Leader clustering and brute-force pairs against their plain Python definitions."""

from __future__ import annotations

import numpy as np
import pytest

from seedbed.kernels.near_dup.jaccard import similar_pairs
from seedbed.kernels.near_dup.leaders import leaders
from seedbed.kernels.near_dup.shingles import Hashes, distinct


def random_sets(count: int, seed: int) -> list[set[int]]:
    """Sets that drift: each keeps most of the one before, so that they chain; some empty, some
    alike.
    """
    generator = np.random.default_rng(seed)
    sets = [set(generator.integers(1, 10**6, 60).tolist())]
    while len(sets) < count:
        kept = (
            {x for x in sets[-1] if generator.random() < 0.92}
            if generator.random() < 0.9
            else set()
        )
        sets.append(kept | set(generator.integers(1, 10**6, generator.integers(0, 12)).tolist()))
    return sets


def as_hashes(sets: list[set[int]]) -> Hashes:
    offsets = np.cumsum([0, *map(len, sets)]).astype(np.int64)
    return distinct(Hashes(np.array([x for s in sets for x in s], np.uint64), offsets))


def similarity(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def plain_leaders(
    sets: list[set[int]], groups: list[int], threshold: float
) -> tuple[list[int], list[float]]:
    leader, found = [], []
    for i, one in enumerate(sets):
        for j in range(i):
            if groups[j] == groups[i] and leader[j] == j and similarity(one, sets[j]) >= threshold:
                leader.append(j)
                found.append(similarity(one, sets[j]))
                break
        else:
            leader.append(i)
            found.append(1.0)
    return leader, found


@pytest.mark.parametrize("threshold", [0.5, 0.7, 1.0])
def test_each_joins_the_first_leader_that_is_similar_enough(threshold: float) -> None:
    sets = random_sets(300, seed=1)
    groups = np.sort(np.random.default_rng(2).integers(0, 12, len(sets))).tolist()
    leader, found = leaders(as_hashes(sets), np.array(groups), threshold)
    assert (leader.tolist(), found.tolist()) == plain_leaders(sets, groups, threshold)
    assert 20 < len(set(leader.tolist())) < 300


def test_a_similarity_of_exactly_the_threshold_is_enough() -> None:
    # 7 of 10 are common.
    one, other = set(range(1, 8)), set(range(1, 11))
    leader, found = leaders(as_hashes([one, other]), np.zeros(2), 0.7)
    assert (leader.tolist(), found.tolist()) == ([0, 0], [1.0, 0.7])


def test_brute_force_finds_every_similar_pair_of_those_asked_for() -> None:
    sets = random_sets(200, seed=4)
    asked = np.array([5, 0, 199, 77])
    query, other, found = similar_pairs(as_hashes(sets), asked, 0.6)
    want = [
        (q, j, similarity(sets[a], sets[j]))
        for q, a in enumerate(asked.tolist())
        for j in range(len(sets))
        if a != j and similarity(sets[a], sets[j]) >= 0.6
    ]
    assert list(zip(query.tolist(), other.tolist(), found.tolist(), strict=True)) == want
    assert len(want) > 2
    assert similar_pairs(as_hashes(sets), np.array([], int), 0.6)[0].size == 0
