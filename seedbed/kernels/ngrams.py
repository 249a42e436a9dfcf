"""Finds the documents that share a run of n words with a benchmark; the answer is exact.

A word is a maximal run of the bytes [A-Za-z0-9_] or of any byte >= 0x80, as in
near_dup/shingles.py. ASCII letters are lower-cased. Spacing, punctuation and layout between words
do not count. The Seed-Coder paper asks for "10-gram word overlap" (Sec 4) but defines neither words
nor normalisation, so this definition is ours. A text of fewer than n words has no n-gram: it can
neither hit nor be hit.

The scan reads Arrow string buffers. It rolls a 64-bit hash over the words and looks the hash up
among those of the benchmark. Before a hit counts, the words themselves are compared. So a hash
collision costs time and never changes an answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from seedbed.kernels.native import native
from seedbed.kernels.near_dup.shingles import fmix64, string_buffers

WORD = re.compile(rb"[a-z0-9_\x80-\xff]+")
# FNV-1a (draft-eastlake-fnv, section 5).
FNV_BASIS, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
# The variable of the n-gram polynomial: 2**64 / golden ratio, odd.
BASE = np.uint64(0x9E3779B97F4A7C15)
NO_HIT = np.int64(2**62)
# Maps a byte to the byte that is hashed; 0 ends a word.
FOLDED = np.array([ord(chr(b).lower()) if b < 0x80 else b for b in range(256)], np.uint8)
FOLDED[[b for b in range(256) if not WORD.fullmatch(bytes([FOLDED[b]]))]] = 0


@dataclass(frozen=True)
class NgramIndex:
    """The distinct n-grams of a benchmark and the tables that find them.

    n: words per n-gram.
    entries: (smallest item that holds the n-gram, its words joined by one space), ascending.
    hashes: uint64 (distinct hashes,), ascending.
    ranks: int64 (distinct hashes,), the smallest index into `entries` with that hash.
    filter: uint8, a power of two long; 1 where some hash has these leading bits.
    """

    n: int
    entries: list[tuple[str, str]]
    hashes: np.ndarray
    ranks: np.ndarray
    filter: np.ndarray

    @classmethod
    def build(cls, texts: list[tuple[str, str]], n: int) -> NgramIndex:
        """Index (item, text) pairs; an item may come several times. n >= 1."""
        smallest: dict[str, str] = {}
        for item, text in texts:
            for ngram in word_ngrams(text, n):
                smallest[ngram] = min(smallest.get(ngram, item), item)
        entries = sorted((item, ngram) for ngram, item in smallest.items())
        column = pa.array([ngram for _, ngram in entries], pa.string())
        every = _hash_all(*string_buffers(column), n)
        # return_index gives the first position of a hash, which is its smallest rank.
        hashes, ranks = np.unique(every, return_index=True)
        bits = max(16, (16 * len(entries)).bit_length())
        present = np.zeros(1 << bits, np.uint8)
        present[(hashes >> np.uint64(64 - bits)).astype(np.int64)] = 1
        return cls(n, entries, hashes, ranks.astype(np.int64), present)


def words(text: str) -> list[bytes]:
    """The words of `text`, lower-cased, in order."""
    # bytes.lower folds ASCII only, as FOLDED does.
    return WORD.findall(text.encode().lower())


def word_ngrams(text: str, n: int) -> list[str]:
    """Every run of n words of `text`, joined by single spaces, in order, with repeats."""
    found = words(text)
    return [b" ".join(found[i : i + n]).decode() for i in range(len(found) - n + 1)]


def smallest_hits(
    texts: pa.Array | pa.ChunkedArray, index: NgramIndex
) -> list[tuple[str, str] | None]:
    """The smallest (item, ngram) of the benchmark in each text, or None where there is none."""
    if not index.entries:
        return [None] * len(texts)
    data, offsets = string_buffers(texts)
    rank, start, end = _scan(data, offsets, index.n, (index.hashes, index.ranks, index.filter))
    hits: list[tuple[str, str] | None] = [None] * len(texts)
    for row in np.flatnonzero(rank != NO_HIT):
        entry = index.entries[rank[row]]
        found = b" ".join(WORD.findall(data[start[row] : end[row]].tobytes().lower())).decode()
        hits[row] = entry if found == entry[1] else _search(texts[int(row)].as_py(), index)
    return hits


def _search(text: str, index: NgramIndex) -> tuple[str, str] | None:
    """The answer without hashes, for a text in which one collided."""
    by_ngram = {ngram: (item, ngram) for item, ngram in index.entries}
    return min(
        (by_ngram[ngram] for ngram in word_ngrams(text, index.n) if ngram in by_ngram), default=None
    )


@native
def _hash_all(data, offsets, n):  # type: ignore[no-untyped-def]
    """The hash, uint64, of each document, which must be exactly one n-gram."""
    out = np.empty(offsets.shape[0] - 1, np.uint64)
    starts = np.empty(1, np.int64)
    ends = np.empty(1, np.int64)
    for d in range(out.shape[0]):
        _ngrams(data, offsets[d], offsets[d + 1], n, (out[d : d + 1], starts, ends))
    return out


@native
def _scan(data, offsets, n, tables):  # type: ignore[no-untyped-def]
    """Smallest rank per document (NO_HIT: none), and first and end byte of the words found there.

    tables: (hashes, ranks, filter) of an NgramIndex.
    """
    hashes, ranks, present = tables
    documents = offsets.shape[0] - 1
    rank = np.full(documents, NO_HIT)
    start = np.zeros(documents, np.int64)
    end = np.zeros(documents, np.int64)
    longest = np.int64(0)
    for d in range(documents):
        longest = max(longest, offsets[d + 1] - offsets[d])
    found = np.empty(longest // 2 + 1, np.uint64)
    starts = np.empty(longest // 2 + 1, np.int64)
    ends = np.empty(longest // 2 + 1, np.int64)
    shift = np.uint64(64)
    slots = present.shape[0]
    while slots > 1:
        slots >>= 1
        shift -= np.uint64(1)
    for d in range(documents):
        for i in range(_ngrams(data, offsets[d], offsets[d + 1], n, (found, starts, ends))):
            if present[np.int64(found[i] >> shift)]:
                place = np.searchsorted(hashes, found[i])
                if place < hashes.shape[0] and hashes[place] == found[i] and ranks[place] < rank[d]:
                    rank[d], start[d], end[d] = ranks[place], starts[i], ends[i]
    return rank, start, end


@native
def _ngrams(data, first, last, n, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the n-grams of data[first:last]; returns their number.

    out: (hash, first byte, end byte), each an array with room for all n-grams.

    A word is hashed by FNV-1a. An n-gram is hashed by a polynomial in its words modulo 2**64, which
    can be rolled and is mixed at the end.
    """
    found, starts, ends = out
    # BASE ** n: the factor that the oldest word of a full window has been multiplied by.
    leading = np.uint64(1)
    for _ in range(n):
        leading *= BASE
    window = np.zeros(n, np.uint64)
    window_starts = np.zeros(n, np.int64)
    rolling = np.uint64(0)
    word, word_start, inside = FNV_BASIS, first, False
    count = 0
    for i in range(first, last + 1):
        byte = FOLDED[data[i]] if i < last else np.uint8(0)
        if byte:
            if not inside:
                word, word_start, inside = FNV_BASIS, i, True
            word = (word ^ np.uint64(byte)) * FNV_PRIME
        elif inside:
            inside = False
            slot = count % n
            rolling = rolling * BASE + word - window[slot] * leading
            window[slot], window_starts[slot] = word, word_start
            count += 1
            if count >= n:
                found[count - n] = fmix64(rolling)
                starts[count - n], ends[count - n] = window_starts[count % n], i
    return max(count - n + 1, 0)
