"""Evidence for documents in memory against Python sets, over drawn texts."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest

from seedbed.kernels.near_dup import evidence, minhash
from seedbed.kernels.near_dup.evidence import Documents, Signing, shingle_sets
from seedbed.kernels.near_dup.shingles import shingle_hashes
from seedbed.kernels.near_dup.stars import Pairs

SIGNING = Signing(shingle=3, num_perm=64, seed=1)


def drawn(seed: int, count: int) -> list[str]:
    """Texts of which many are edited copies of each other; some have no tokens."""
    draw = np.random.default_rng(seed)
    texts = [" ".join(f"w{i}" for i in draw.integers(0, 400, 60)) for _ in range(count // 4)]
    for _ in range(count - len(texts)):
        words = texts[int(draw.integers(len(texts)))].split()
        for place in draw.integers(0, max(len(words), 1), int(draw.integers(0, 6))):
            words[place : place + 1] = ["new"] if words else []
        texts.append(" ".join(words) if draw.random() < 0.95 else "()")
    return texts


@pytest.mark.parametrize("seed", range(4))
def test_every_compared_pair_has_the_similarity_of_python_sets(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The texts come in several batches, and the pairs in any order."""
    monkeypatch.setattr(evidence, "AT_ONCE", 7)
    texts = drawn(seed, 80)
    column = pa.chunked_array([texts[:30], texts[30:31], texts[31:]])
    documents = Documents.of(column, SIGNING)
    hashes = shingle_hashes(pa.array(texts), SIGNING.shingle)
    sets = [set(hashes.values[a:b].tolist()) for a, b in itertools.pairwise(hashes.offsets)]
    signature = minhash.signatures(hashes, SIGNING.num_perm, SIGNING.seed)
    left, right = np.random.default_rng(seed).integers(0, len(texts), (2, 500))
    found = documents.compare(Pairs(left, right, np.zeros(500, np.int64)))
    want = [
        len(sets[a] & sets[b]) / max(len(sets[a] | sets[b]), 1)
        for a, b in zip(left, right, strict=True)
    ]
    assert found.jaccard.tolist() == want
    assert found.estimate.tolist() == (signature[left] == signature[right]).mean(1).tolist()
    assert len(set(want)) > 10


def test_no_texts_at_all_have_no_sets() -> None:
    sets = shingle_sets(pa.chunked_array([], pa.string()), 5)
    assert (sets.values.size, sets.offsets.tolist()) == (0, [0])


def test_hubs_are_chosen_by_the_given_order_and_not_by_the_place_in_memory() -> None:
    texts = drawn(9, 60)
    documents = Documents.of(pa.chunked_array([texts]), SIGNING)
    keys = minhash.band_keys(documents.signature, bands=16, rows=4)
    ranked = np.random.default_rng(1).permutation(np.flatnonzero(documents.sets.counts > 0))
    place = np.empty(len(texts), np.int64)
    place[ranked] = np.arange(len(ranked))
    first, second = documents.both_looks(ranked, keys[ranked], threshold=0.7)
    assert (place[first.pairs.left] < place[first.pairs.right]).all()
    assert first.jaccard.min() < 0.7 <= first.jaccard.max()
    assert len(second.jaccard)
    # Each pair shares the bucket that it names, and no pair comes twice.
    for found in (first, second):
        bucket = keys[:, found.pairs.band]
        rows = np.arange(len(found.pairs.band))
        assert (bucket[found.pairs.left, rows] == bucket[found.pairs.right, rows]).all()
    pairs = [f.pairs for f in (first, second)]
    both = np.concatenate(
        [[np.minimum(p.left, p.right), np.maximum(p.left, p.right)] for p in pairs], 1
    )
    assert len(np.unique(both, axis=1)[0]) == len(both[0])
