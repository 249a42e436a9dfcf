"""The classifier of words against a slow one."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from seedbed.kernels.models import recall_model
from seedbed.kernels.near_dup.shingles import shingle_hashes

PATHS = [
    "graph",
    "node",
    "edge",
    "path",
    "shortest",
    "queue",
    "visited",
    "neighbour",
    "weight",
    "tree",
    "search",
]
PAGES = [
    "button",
    "click",
    "color",
    "page",
    "window",
    "style",
    "layout",
    "mouse",
    "menu",
    "scroll",
    "header",
]


def text(draw, words, comment):
    lines = [
        f"{draw.choice(words)} = {draw.choice(words)}({draw.choice(words)})" for _ in range(12)
    ]
    return ("# about it\n" if comment else "") + "\n".join(lines) + "\n"


def test_a_bag_holds_each_word_and_pair_of_a_text_once():
    found = recall_model.bags(pa.array(["a b a b", "", None, "b a"]))
    # a, b, "a b", "b a"; b, a, "b a"
    assert found.counts.tolist() == [4, 0, 0, 3]
    sets = [set(found.values[found.offsets[i] : found.offsets[i + 1]].tolist()) for i in range(4)]
    assert sets[3] < sets[0]
    assert found.values.max() < recall_model.BUCKETS
    apart = [recall_model.bags(pa.array([t])).values.tolist() for t in ("a b a b", "b a")]
    assert apart == [sorted(sets[0]), sorted(sets[3])]


def test_training_is_its_formula_step_by_step(monkeypatch):
    monkeypatch.setattr(recall_model, "EPOCHS", 2)
    bags = recall_model.bags(pa.array(["a b", "c", "a c"]))
    labels = np.array([1, 0, 1])
    rows = [bags.values[bags.offsets[i] : bags.offsets[i + 1]].astype(int) for i in range(3)]
    weights, bias, random_ = {}, 0.0, np.random.default_rng(5)
    for epoch in range(2):
        for position, d in enumerate(random_.permutation(3)):
            rate, scale = recall_model.RATE * (1 - (3 * epoch + position) / 6), len(rows[d]) ** -0.5
            error = labels[d] - 1 / (
                1 + np.exp(-(sum(weights.get(i, 0) for i in rows[d]) * scale + bias))
            )
            for i in rows[d]:
                weights[i] = weights.get(i, 0) + rate * (
                    error * scale - recall_model.DECAY * weights.get(i, 0)
                )
            bias += 0.1 * rate * error
    found = recall_model.train(bags, labels, seed=5)
    assert found[-1] == pytest.approx(bias)
    assert {i: found[i] for i in np.flatnonzero(found[:-1])} == pytest.approx(weights)


def test_a_word_of_the_first_bucket_counts_like_any_other():
    """Bucket 0 differs from a free slot of a set."""
    words = [f"w{i}" for i in range(1_000_000)]
    hashes = shingle_hashes(pa.array(words), 1).values
    first = words[int(np.flatnonzero(hashes % np.uint64(recall_model.BUCKETS) == 0)[0])]
    assert recall_model.bags(pa.array([first])).values.tolist() == [0]


def test_it_tells_two_vocabularies_apart_on_texts_it_has_not_seen():
    draw = random.Random(0)
    texts = [text(draw, PATHS if i % 2 else PAGES, False) for i in range(80)]
    labels = np.arange(80) % 2
    weights = recall_model.train(recall_model.bags(pa.array(texts[:60])), labels[:60], 1)
    found = recall_model.probabilities(recall_model.bags(pa.array(texts[60:])), weights)
    assert ((found > 0.5) == labels[60:]).all()
