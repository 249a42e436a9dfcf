"""Stars in memory against a plain reading of the rules, over drawn buckets and verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from seedbed.kernels.near_dup.stars import REHUBBED, first_look, second_look, star_links
from tests.seedbed.kernels.near_dup.plain_stars import plain_first_look, plain_second_look


@pytest.mark.parametrize("seed", range(12))
def test_both_looks_are_those_of_the_rules_whatever_the_buckets(seed: int) -> None:
    draw = np.random.default_rng(seed)
    documents, bands = int(draw.integers(0, 150)), int(draw.integers(1, 8))
    # Negative keys too; few buckets make stars of more than REHUBBED failures.
    keys = draw.integers(-3, int(draw.integers(-2, 40)), (documents, bands))
    links = star_links(keys)
    pairs, pair_of_link = first_look(links, documents)
    fails = draw.random(len(pairs.left)) < draw.random()
    failed = set(zip(pairs.left[fails].tolist(), pairs.right[fails].tolist(), strict=True))
    more = second_look(links, fails[pair_of_link], pairs, documents)

    first = plain_first_look(keys.tolist())
    wanted = (first, plain_second_look(keys.tolist(), first, failed))
    for found, want in zip((pairs, more), wanted, strict=True):
        rows = list(zip(found.left.tolist(), found.right.tolist(), strict=True))
        assert dict(zip(rows, found.band.tolist(), strict=True)) == want
        assert len(rows) == len(want)


def test_only_the_first_failed_members_of_a_star_are_looked_at_again() -> None:
    documents = 100
    links = star_links(np.zeros((documents, 1), np.int64))
    pairs, _ = first_look(links, documents)
    more = second_look(links, np.ones(len(links.hub), bool), pairs, documents)
    assert set(more.left.tolist()) == set(range(1, REHUBBED + 1))
    assert len(more.left) == sum(documents - 1 - member for member in range(1, REHUBBED + 1))


def test_a_second_look_over_all_stars_at_once_needs_no_more_than_it_returns() -> None:
    """25 equal bands give each pair once, with the smallest of them."""
    links = star_links(np.zeros((40, 25), np.int64))
    pairs, pair_of_link = first_look(links, 40)
    assert len(pairs.left) == 39
    failed = np.ones(len(pair_of_link), bool)
    assert set(second_look(links, failed, pairs, 40).band.tolist()) == {0}
