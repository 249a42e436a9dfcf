"""Turns documents in Arrow string buffers into shingle hashes, in compiled code.

A token is a maximal run of the bytes [A-Za-z0-9_] or of any byte >= 0x80. The second half matters.
With ASCII alone every comment and string in another script would vanish. Translation tables that
share their keys, such as locale/ja/messages.py and locale/ru/messages.py, would be near duplicates.
UTF-8 needs no decoding, because all bytes of a non-ASCII character are >= 0x80. So an identifier
such as `größe` stays whole. Text without spaces, such as Chinese, is one token up to the next ASCII
space or mark.

A shingle is `size` consecutive tokens. The bytes between tokens do not count, so reformatting
changes nothing. A document with fewer tokens gives one shingle of all its tokens; one without
tokens gives none. A licence comment at the head does not count either (license_head.py), unless
the document holds nothing else.

Token hash: h = (h ^ byte) * FNV prime modulo 2**64, from h = 0 (FNV-0; draft-eastlake-fnv, section
5), then the 64-bit MurmurHash3 finalizer. Shingle hash: a polynomial in the token hashes modulo
2**64, then the same finalizer. With 64 bits, 10**7 distinct shingles in one comparison hold a
collision with a probability below 3e-6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from seedbed.kernels.native import native
from seedbed.kernels.near_dup.license_head import license_end_native

FNV_PRIME = np.uint64(0x100000001B3)
# The variable of the shingle polynomial: 2**64 / golden ratio, odd.
BASE = np.uint64(0x9E3779B97F4A7C15)
# Marks a free slot of a set. No shingle hash has this value.
FREE = np.uint64(0)

# FNV_PRIME for a token byte, 0 for a separator. So one multiplication extends or ends a token.
MULTIPLIER = np.zeros(256, np.uint64)
for _first, _last in (("a", "z"), ("A", "Z"), ("0", "9"), ("_", "_")):
    MULTIPLIER[ord(_first) : ord(_last) + 1] = FNV_PRIME
MULTIPLIER[0x80:] = FNV_PRIME


@dataclass(frozen=True)
class Hashes:
    """64-bit hashes of documents; document i owns values[offsets[i]:offsets[i + 1]].

    values: uint64; every value belongs to a document. offsets: int64 (documents + 1,).
    """

    values: np.ndarray
    offsets: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Number of hashes per document, int64 (documents,)."""
        return np.diff(self.offsets)


def shingle_hashes(texts: pa.Array | pa.ChunkedArray, size: int) -> Hashes:
    """The hash of every shingle of each document, in order and with repeats.

    texts: string or large_string; a null is a document without tokens. size: tokens per shingle, at
    least 1.
    """
    data, offsets = string_buffers(texts)
    powers = np.empty(size, np.uint64)
    powers[0] = 1
    np.multiply.accumulate(np.full(size - 1, BASE), out=powers[1:])
    return Hashes(*_shingle_hashes(data, offsets, powers, MULTIPLIER))


def distinct(hashes: Hashes) -> Hashes:
    """Each document's hashes as a set: strictly ascending, without repeats.

    No hash may be 0. The hashes should differ in their leading bits, by which they are placed.
    """
    return Hashes(*_distinct(hashes.values, hashes.offsets))


def joined(parts: list[Hashes]) -> Hashes:
    """The documents of all parts, one part after the other."""
    counts = np.concatenate([np.zeros(1, np.int64), *(part.counts for part in parts)])
    values = [part.values for part in parts]
    return Hashes(np.concatenate(values) if parts else np.zeros(0, np.uint64), np.cumsum(counts))


def string_buffers(texts: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """UTF-8 bytes (uint8) and offsets (int64, len + 1) of a string or large_string array.

    The bytes are not copied, and slices keep their place in the shared buffer. A null comes out as
    an empty text. Arrow lets a null span bytes, so an array with nulls is rebuilt without them.

    The bytes cannot be written, whoever made them. Kernels are compiled once for each of both.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    if texts.null_count:
        texts = texts.fill_null("")
    if not len(texts):
        return np.frombuffer(b"", np.uint8), np.zeros(1, np.int64)
    _, offsets, data = texts.buffers()
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    bounds = np.frombuffer(offsets, width)[texts.offset : texts.offset + len(texts) + 1].astype(
        np.int64
    )
    found = np.frombuffer(data or b"", np.uint8)
    found.flags.writeable = False
    return found, bounds


@native
def fmix64(h: np.uint64) -> np.uint64:
    """The finalizer of MurmurHash3_x64_128 (Austin Appleby, public domain).

    It is a bijection of 64-bit numbers; every input bit affects every output bit.
    """
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xFF51AFD7ED558CCD)
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ (h >> np.uint64(33))


@native
def _scan(
    data: np.ndarray, start: int, end: int, multiplier: np.ndarray, tokens: np.ndarray
) -> int:
    """Hash the tokens of data[start:end] into `tokens`; returns their number.

    The loop has no branches, because a processor cannot predict the ends of tokens.
    """
    count = np.int64(0)
    h = np.uint64(0)
    inside = False
    for i in range(start, end):
        byte = np.uint64(data[i])
        factor = multiplier[byte]
        member = factor != np.uint64(0)
        count += inside & (not member)
        h = (h ^ byte) * factor
        # The hash is written at every byte. The one at the token's last byte stays.
        tokens[count] = h
        inside = member
    return int(count + inside)


@native
def _shingle_hashes(
    data: np.ndarray, offsets: np.ndarray, powers: np.ndarray, multiplier: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(values, offsets) of `shingle_hashes`; powers: BASE ** i for each token of a shingle."""
    documents = offsets.shape[0] - 1
    size = powers.shape[0]
    longest = np.int64(0)
    for d in range(documents):
        longest = max(longest, offsets[d + 1] - offsets[d])
    tokens = np.empty(longest // 2 + 2, np.uint64)
    # Room for one shingle per six bytes; it grows where that is too little.
    values = np.empty((offsets[documents] - offsets[0]) // 6 + 1, np.uint64)
    ends = np.zeros(documents + 1, np.int64)
    for d in range(documents):
        start = license_end_native(data, offsets[d], offsets[d + 1])
        count = _scan(data, start, offsets[d + 1], multiplier, tokens)
        if count == 0 and start > offsets[d]:
            count = _scan(data, offsets[d], start, multiplier, tokens)
        for i in range(count):
            tokens[i] = fmix64(tokens[i])
        first = ends[d]
        last = first + max(count - size + 1, min(count, 1))
        ends[d + 1] = last
        if values.shape[0] < last:
            grown = np.empty(2 * last, np.uint64)
            grown[:first] = values[:first]
            values = grown
        out = values[first:last]
        out[:] = 0
        for j in range(min(size, count)):
            for i in range(out.shape[0]):
                out[i] += tokens[i + j] * powers[j]
        for i in range(out.shape[0]):
            # No hash may equal FREE.
            out[i] = max(fmix64(out[i]), np.uint64(1))
    return values[: ends[documents]], ends


@native
def _insert(table: np.ndarray, shift: np.uint64, h: np.uint64) -> int:
    """Put `h` into an open-addressing table that stays sorted; returns 1 if it was new.

    The home slot is given by the leading bits of the hash, and probing is linear. So the table
    stays sorted as long as each run does. Read from the front it yields the ascending set, at the
    cost of a hash table instead of a sort.
    """
    slot = np.int64(h >> shift)
    while table[slot] != FREE and table[slot] < h:
        slot += 1
    if table[slot] == h:
        return 0
    while h != FREE:
        h, table[slot] = table[slot], h
        slot += 1
    return 1


@native
def _distinct(values: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    documents = offsets.shape[0] - 1
    out = np.empty(values.shape[0], np.uint64)
    ends = np.zeros(documents + 1, np.int64)
    table = np.empty(16, np.uint64)
    for d in range(documents):
        count = offsets[d + 1] - offsets[d]
        bits = 1
        while (1 << bits) < 2 * count:
            bits += 1
        # A run may go past the last home slot, and it ends at a free slot.
        slots = (1 << bits) + count + 1
        if table.shape[0] < slots:
            table = np.empty(2 * slots, np.uint64)
        table[:slots] = FREE
        new = 0
        for i in range(offsets[d], offsets[d + 1]):
            new += _insert(table, np.uint64(64 - bits), values[i])
        place = ends[d]
        ends[d + 1] = place + new
        slot = 0
        while place < ends[d + 1]:
            if table[slot] != FREE:
                out[place] = table[slot]
                place += 1
            slot += 1
    return out[: ends[documents]], ends
