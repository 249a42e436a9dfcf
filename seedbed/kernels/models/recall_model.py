"""A classifier of texts like fastText: hashed words and pairs of words, and one logistic output.

fastText (Joulin et al. 2016) averages the embeddings of a text's hashed n-grams and puts a linear
classifier on the mean. With one output, embedding and classifier fold into one weight per bucket.
These weights are learnt here by stochastic gradient descent, in a seeded order, with fastText's
linearly falling rate. Each n-gram of a text counts once, scaled so that the features of a text have
length 1.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from seedbed.kernels.native import native
from seedbed.kernels.near_dup.shingles import Hashes, distinct, shingle_hashes

_BITS = 18
BUCKETS = 1 << _BITS
_UP = np.uint64(64 - _BITS)
EPOCHS = 10
# The learning rate of the first step. Features have length 1, so it is far above the 0.1 that
# fastText takes for means of embeddings.
RATE = 10.0
# Each step takes this share, times the learning rate, off every weight that it touches.
DECAY = 1e-6


def bags(texts: pa.Array | pa.ChunkedArray) -> Hashes:
    """The distinct buckets of each text's words and pairs of words; each is below BUCKETS."""
    words, pairs = shingle_hashes(texts, 1), shingle_hashes(texts, 2)
    # `distinct` places a hash by its leading bits and takes no 0. So a bucket is moved to the
    # leading bits, its last bit is set, and both are undone below.
    both = (np.concatenate([words.values, pairs.values]) % np.uint64(BUCKETS)) << _UP | np.uint64(1)
    counts = words.counts + pairs.counts
    offsets = np.concatenate([[0], np.cumsum(counts)])
    order = np.empty(len(both), np.int64)
    _interleave(words.offsets, pairs.offsets, order)
    found = distinct(Hashes(both[order], offsets))
    return Hashes(found.values >> _UP, found.offsets)


def train(features: Hashes, labels: np.ndarray, seed: int) -> np.ndarray:
    """Weights of P(label is 1), float64 (BUCKETS + 1,); the last is the bias.

    features: from `bags`. labels: (texts,), 0 or 1. seed: of the order of the steps.
    """
    weights = np.zeros(BUCKETS + 1)
    random = np.random.default_rng(seed)
    steps = EPOCHS * len(labels)
    for epoch in range(EPOCHS):
        order = random.permutation(len(labels))
        bags = (features.values, features.offsets)
        _epoch(bags, labels.astype(np.float64), order, weights, epoch * len(labels), steps)
    return weights


def probabilities(features: Hashes, weights: np.ndarray) -> np.ndarray:
    """P(label is 1) of each text, float64 (texts,)."""
    return 1 / (1 + np.exp(-_activations(features.values, features.offsets, weights)))


@native
def _interleave(a: np.ndarray, b: np.ndarray, order: np.ndarray) -> None:
    """Fill `order` with positions that put each document's two runs side by side.

    a, b: offsets of two lists of runs. The positions are those in their concatenation.
    """
    at = 0
    for d in range(a.shape[0] - 1):
        for i in range(a[d], a[d + 1]):
            order[at] = i
            at += 1
        for i in range(b[d], b[d + 1]):
            order[at] = a[-1] + i
            at += 1


@native
def _activations(values: np.ndarray, offsets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The input of the logistic function for each text, float64 (texts,)."""
    out = np.empty(offsets.shape[0] - 1)
    for d in range(out.shape[0]):
        total = 0.0
        for i in range(offsets[d], offsets[d + 1]):
            total += weights[np.int64(values[i])]
        out[d] = total / np.sqrt(max(offsets[d + 1] - offsets[d], 1)) + weights[-1]
    return out


@native
def _epoch(
    bags: tuple[np.ndarray, np.ndarray],
    labels: np.ndarray,
    order: np.ndarray,
    weights: np.ndarray,
    done: int,
    steps: int,
) -> None:
    """One step per text, in `order`; changes `weights` in place.

    bags: (values, offsets). done: steps before this epoch. steps: of the whole training.
    """
    values, offsets = bags
    for position in range(order.shape[0]):
        d = order[position]
        rate = RATE * (1.0 - (done + position) / steps)
        scale = 1.0 / np.sqrt(max(offsets[d + 1] - offsets[d], 1))
        total = 0.0
        for i in range(offsets[d], offsets[d + 1]):
            total += weights[np.int64(values[i])]
        error = labels[d] - 1.0 / (1.0 + np.exp(-(total * scale + weights[-1])))
        for i in range(offsets[d], offsets[d + 1]):
            bucket = np.int64(values[i])
            weights[bucket] += rate * (error * scale - DECAY * weights[bucket])
        weights[-1] += 0.1 * rate * error
