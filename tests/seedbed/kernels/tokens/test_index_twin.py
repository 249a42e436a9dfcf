"""The index of a shard and the cut of the middle against slow readings of their definitions."""

from __future__ import annotations

import hashlib
import io
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.kernels.tokens import fim
from seedbed.kernels.tokens.indexed_dataset import IndexedDatasetWriter, read_lengths

lengths = st.lists(st.integers(0, 70), max_size=9)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(lengths, st.sampled_from([("uint16", 2, 8), ("int32", 4, 4)]))
def test_an_index_says_where_each_document_stands(counts, kind):
    dtype, width, code = kind
    stream = io.BytesIO()
    writer = IndexedDatasetWriter(stream, dtype)
    documents = [bytes((n + i) % 251 for i in range(c * width)) for n, c in enumerate(counts)]
    for document in documents:
        writer.add_document(document)
    idx = writer.index()
    head, rest = idx[:34], idx[34:]
    assert head == b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, len(counts), len(counts) + 1)
    sizes = [struct.unpack_from("<i", rest, 4 * n)[0] for n in range(len(counts))]
    starts = [
        struct.unpack_from("<q", rest, 4 * len(counts) + 8 * n)[0] for n in range(len(counts))
    ]
    bounds = [
        struct.unpack_from("<q", rest, 12 * len(counts) + 8 * n)[0] for n in range(len(counts) + 1)
    ]
    assert len(rest) == 12 * len(counts) + 8 * (len(counts) + 1)
    assert bounds == list(range(len(counts) + 1))
    whole = stream.getvalue()
    found = [whole[start : start + size * width] for start, size in zip(starts, sizes, strict=True)]
    assert found == documents
    assert b"".join(found) == whole
    assert read_lengths(io.BytesIO(idx)).tolist() == sizes == counts
    assert (writer.documents, writer.tokens) == (len(counts), sum(counts))
    assert writer.bin_sha256 == hashlib.sha256(whole).hexdigest()


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.text(max_size=40), st.integers(0, 9), st.text(max_size=5), st.integers(0, 3), st.floats(0, 1)
)
def test_a_cut_loses_nothing_and_a_higher_rate_only_adds_cuts(text, seed, name, epoch, rate):
    cut = fim.split(text, seed, name, epoch, rate)
    always = fim.split(text, seed, name, epoch, 1.0)
    assert fim.split(text, seed, name, epoch, 0.0) is None
    assert always is not None
    assert "".join(always) == text
    # Slowly: the same draw from the same hash.
    digest = hashlib.sha256("\0".join(("fim", str(seed), name, str(epoch))).encode()).digest()
    draw, one, two = struct.unpack_from("<QQQ", digest)
    first, second = sorted(number % (len(text) + 1) for number in (one, two))
    assert (len(always.prefix), len(always.middle)) == (first, second - first)
    assert cut == (always if draw < int(rate * 2**64) else None)
