"""Connected components by union-find: a label per node, the smallest node of its component.

Roots only ever point to smaller roots. So the label is the minimum by construction, and no order of
edges can change it. Path halving: Tarjan and van Leeuwen 1984, "Worst-case analysis of set union
algorithms".
"""

from __future__ import annotations

import numpy as np

from seedbed.kernels.native import native


def components(nodes: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Smallest node of each node's component, int64 (nodes,).

    nodes: their number; they are 0 to nodes - 1. left, right: (edges,), the two ends of each edge.
    """
    return _components(nodes, np.asarray(left, np.int64), np.asarray(right, np.int64))


@native
def _root(parent, node):  # type: ignore[no-untyped-def]
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@native
def _components(nodes, left, right):  # type: ignore[no-untyped-def]
    parent = np.arange(nodes)
    for i in range(left.shape[0]):
        a, b = _root(parent, left[i]), _root(parent, right[i])
        parent[max(a, b)] = min(a, b)
    for node in range(nodes):
        # A parent is never larger than its node, so its own parent is final already.
        parent[node] = parent[parent[node]]
    return parent
