"""Components against scipy on the shapes that break union-find: chains, stars, cliques, random
graphs.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seedbed.kernels.near_dup.components import components

N = 2000
GENERATOR = np.random.default_rng(5)
GRAPHS = {
    "no edges": (np.zeros(0, int), np.zeros(0, int)),
    "self loops": (np.arange(N), np.arange(N)),
    "chain": (np.arange(N - 1), np.arange(1, N)),
    "shuffled chain": (lambda p: (p[:-1], p[1:]))(GENERATOR.permutation(N)),
    "star on the largest": (np.full(N - 1, N - 1), np.arange(N - 1)),
    "cliques": tuple(
        np.concatenate([np.stack(np.triu_indices(20, 1)) + 20 * k for k in range(N // 20)], axis=1)
    ),
    "sparse random": tuple(GENERATOR.integers(0, N, (2, N // 2))),
    "critical random": tuple(GENERATOR.integers(0, N, (2, N))),
}


def smallest_members(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(N, N))
    _, component = connected_components(graph, directed=False)
    smallest = np.full(component.max() + 1, N)
    np.minimum.at(smallest, component, np.arange(N))
    return smallest[component]


@pytest.mark.parametrize("name", GRAPHS)
def test_every_node_gets_the_smallest_node_it_can_reach(name: str) -> None:
    left, right = GRAPHS[name]
    np.testing.assert_array_equal(components(N, left, right), smallest_members(left, right))


@pytest.mark.parametrize("name", ["shuffled chain", "cliques", "critical random"])
def test_neither_the_order_nor_the_direction_of_edges_matters(name: str) -> None:
    left, right = GRAPHS[name]
    want = components(N, left, right)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(left))
        flip = np.random.default_rng(seed).random(len(left)) < 0.5
        a, b = np.where(flip, left, right)[order], np.where(flip, right, left)[order]
        np.testing.assert_array_equal(components(N, a, b), want)


def test_no_nodes_have_no_labels() -> None:
    assert components(0, np.zeros(0, int), np.zeros(0, int)).size == 0
