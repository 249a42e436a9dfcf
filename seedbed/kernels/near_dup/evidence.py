"""The evidence of near dedup for documents in memory: true Jaccard similarities and estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from seedbed.kernels.near_dup import minhash
from seedbed.kernels.near_dup.jaccard import jaccard
from seedbed.kernels.near_dup.shingles import Hashes, distinct, joined, shingle_hashes
from seedbed.kernels.near_dup.stars import Pairs, first_look, second_look, star_links

# Documents that are hashed at once, which bounds the hashes with repeats beside the sets.
AT_ONCE = 512


@dataclass(frozen=True)
class Signing:
    """How documents are shingled and signed.

    shingle: tokens. num_perm: values of a signature. seed: of the permutations.
    """

    shingle: int
    num_perm: int
    seed: int


@dataclass(frozen=True)
class Evidence:
    """Compared pairs, with the estimated and the true Jaccard similarity, float64 (pairs,)."""

    pairs: Pairs
    estimate: np.ndarray
    jaccard: np.ndarray


def shingle_sets(texts: pa.ChunkedArray, size: int) -> Hashes:
    """The set of shingles of each text."""
    parts = [
        distinct(shingle_hashes(texts.slice(begin, AT_ONCE), size))
        for begin in range(0, len(texts), AT_ONCE)
    ]
    return joined(parts)


@dataclass(frozen=True)
class Documents:
    """Documents by their shingles, with their signatures, uint32 (documents, num_perm)."""

    sets: Hashes
    signature: np.ndarray

    @classmethod
    def of(cls, texts: pa.ChunkedArray, signing: Signing) -> Documents:
        sets = shingle_sets(texts, signing.shingle)
        # A signature of the set is that of the document: a repeat changes no minimum.
        return cls(sets, minhash.signatures(sets, signing.num_perm, signing.seed))

    def compare(self, pairs: Pairs) -> Evidence:
        """Evidence for pairs of indices of documents."""
        estimate = minhash.estimates(self.signature, pairs.left, pairs.right)
        return Evidence(pairs, estimate, jaccard(self.sets, pairs.left, pairs.right))

    def both_looks(self, ranked: np.ndarray, keys: np.ndarray, threshold: float) -> list[Evidence]:
        """Evidence of the first and the second look at the stars of all documents.

        ranked: indices of documents in the order that chooses the hubs; documents without tokens
        must not be in it. keys: int64 (len(ranked), bands), the buckets of the documents in
        `ranked`. The pairs of the result hold indices of documents.
        """
        links = star_links(keys)

        def compared(pairs: Pairs) -> Evidence:
            return self.compare(Pairs(ranked[pairs.left], ranked[pairs.right], pairs.band))

        pairs, pair_of_link = first_look(links, len(ranked))
        first = compared(pairs)
        failed = (first.jaccard < threshold)[pair_of_link]
        return [first, compared(second_look(links, failed, pairs, len(ranked)))]
