"""MinHash signatures, their LSH bands and their estimate, over sets of 64-bit shingle hashes.

The scheme is `affine32` of datasketch 2.x. The low 32 bits of a shingle hash go once through the
32-bit MurmurHash3 finalizer. Permutation k is a_k * h + b_k modulo 2**32; a_k is odd, so it is a
bijection. A signature holds the minimum under each permutation. Of datasketch's schemes this is the
fastest, and its uint32 values halve the table. A row of `signatures` is

    datasketch.MinHash(seed=1, scheme="affine32", hashvalues=numpy.frombuffer(row["signature"],
    "<u4"))

Its jaccard() and LSH queries agree bit for bit with those of datasketch fed the same hashes
(hash & 0xFFFFFFFF).

MinHash: Broder 1997, "On the resemblance and containment of documents". Bands: Leskovec, Rajaraman
and Ullman, "Mining of Massive Datasets", section 3.4. Two sets of similarity s share a bucket with
probability 1 - (1 - s**rows)**bands.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from seedbed.kernels.native import native
from seedbed.kernels.near_dup.shingles import BASE, Hashes, fmix64

# The name that datasketch gives the scheme.
SCHEME = "affine32"
# Every value of the empty set's signature, as in datasketch.
NO_SHINGLE = np.uint32(0xFFFFFFFF)
# Hashes are padded to a multiple of this, so that the vector loop has no scalar remainder.
LANES = 64


def parameters(num_perm: int, shingle: int, seed: int) -> dict[str, Any]:
    """All that a signature depends on besides the text.

    Signatures made with different parameters must never be compared.
    """
    return {
        "num_perm": num_perm,
        "shingle": shingle,
        "seed": seed,
        "scheme": SCHEME,
        "token": "word, no licence head",
    }


def permutations(num_perm: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(a, b), uint32 (num_perm,) each, as datasketch 2.x draws them (_init_permutations)."""
    generator = np.random.RandomState(seed)
    a = generator.randint(0, 1 << 31, num_perm, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    b = generator.randint(0, 1 << 32, num_perm, dtype=np.uint32)
    return a, b


def signatures(hashes: Hashes, num_perm: int, seed: int) -> np.ndarray:
    """MinHash signatures, uint32 (documents, num_perm).

    Every value of an empty set's signature is NO_SHINGLE.
    """
    a, b = permutations(num_perm, seed)
    return _signatures(hashes.values, hashes.offsets, a, b)


def to_binary(signature: np.ndarray) -> pa.Array:
    """Signatures (documents, num_perm) as a binary column, each little-endian."""
    documents, num_perm = signature.shape
    data = pa.py_buffer(np.ascontiguousarray(signature, "<u4"))
    offsets = pa.py_buffer((np.arange(documents + 1) * (4 * num_perm)).astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), documents, [None, offsets, data])


def from_binary(column: pa.Array | pa.ChunkedArray, num_perm: int) -> np.ndarray:
    """Signatures, uint32 (documents, num_perm), from the binary column.

    Raises ValueError where a signature has another length.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    fixed = column.cast(pa.binary(4 * num_perm))
    data = np.frombuffer(fixed.buffers()[1] or b"", "<u4")
    return data[fixed.offset * num_perm : (fixed.offset + len(fixed)) * num_perm].reshape(
        len(fixed), num_perm
    )


def band_keys(signature: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """Bucket of each document in each band, int64 (documents, bands).

    A bucket is a 64-bit hash of `rows` values of the signature. Where two different bands have one
    hash, a pair is compared in vain; its true Jaccard then rejects it.
    """
    # The kernel is compiled once for arrays that can be written and once for others.
    fixed = signature.view()
    fixed.flags.writeable = False
    return _band_keys(fixed, bands, rows)


def estimates(signature: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Estimated Jaccard, float64 (pairs,), of documents left[i] and right[i] (int64 indices).

    The estimate is the share of equal values, as in datasketch's jaccard().
    """
    return _estimates(signature, left, right)


@native
def _fmix32(h):  # type: ignore[no-untyped-def]
    h = np.uint32(h ^ (h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x85EBCA6B))
    h = np.uint32(h ^ (h >> np.uint32(13)))
    h = np.uint32(h * np.uint32(0xC2B2AE35))
    return np.uint32(h ^ (h >> np.uint32(16)))


@native
def _signatures(values, offsets, a, b):  # type: ignore[no-untyped-def]
    documents = offsets.shape[0] - 1
    num_perm = a.shape[0]
    out = np.full((documents, num_perm), NO_SHINGLE)
    longest = np.int64(0)
    for d in range(documents):
        longest = max(longest, offsets[d + 1] - offsets[d])
    mixed = np.empty(longest + LANES, np.uint32)
    for d in range(documents):
        count = offsets[d + 1] - offsets[d]
        if count == 0:
            continue
        for i in range(count):
            mixed[i] = _fmix32(np.uint32(values[offsets[d] + i]))
        padded = (count + LANES - 1) // LANES * LANES
        # A repeated element changes no minimum.
        mixed[count:padded] = mixed[0]
        for k in range(num_perm):
            a_k, b_k, least = a[k], b[k], NO_SHINGLE
            for i in range(padded):
                least = min(least, np.uint32(mixed[i] * a_k + b_k))
            out[d, k] = least
    return out


@native
def _band_keys(signature, bands, rows):  # type: ignore[no-untyped-def]
    keys = np.empty((signature.shape[0], bands), np.int64)
    for d in range(signature.shape[0]):
        for band in range(bands):
            h = np.uint64(0)
            for i in range(band * rows, (band + 1) * rows):
                h = fmix64(h * BASE + np.uint64(signature[d, i]))
            keys[d, band] = np.int64(h)
    return keys


@native
def _estimates(signature, left, right):  # type: ignore[no-untyped-def]
    out = np.empty(left.shape[0], np.float64)
    for i in range(left.shape[0]):
        equal = 0
        for k in range(signature.shape[1]):
            equal += signature[left[i], k] == signature[right[i], k]
        out[i] = equal / signature.shape[1]
    return out
