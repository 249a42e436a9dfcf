"""Frames between the processes of the sandbox, and the values in them."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from seedbed.sandbox.inside import wire
from seedbed.sandbox.inside.decoder import Decoder
from tests.fuzz.boundary import Boundary
from tests.fuzz.mutations import damaged

LIMIT = 1 << 16
_atoms = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**2000), 2**2000) | st.floats()
    | st.complex_numbers() | st.text(max_size=9) | st.binary(max_size=9) | st.fractions()
    | st.decimals() | st.sampled_from([int, list, ..., NotImplemented, range(3), Decimal("1e9999")])
)  # fmt: skip
_values = st.recursive(
    _atoms,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(st.integers(-9, 9), min_size=4, max_size=9)
        | st.lists(st.floats(), min_size=4, max_size=9)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3)
        | st.sets(st.integers() | st.text(max_size=3), max_size=3)
        | st.lists(inner, max_size=3).map(deque)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3).map(OrderedDict)
        | st.text(max_size=5).map(Counter)
        | st.dictionaries(st.text(max_size=3), inner, max_size=2).map(lambda d: defaultdict(int, d))
    ),
    max_leaves=12,
)
# Any tag after any other, with counts that fit and counts that do not.
_TAGS = b"NTFidcsbtzRQMBCrmVHKOJlqfSDa"
_pieces = (
    st.sampled_from([bytes([tag]) for tag in _TAGS])
    | st.integers(0, 9).map(wire.U32.pack)
    | st.sampled_from([2**31, 2**32 - 1, 10**6]).map(wire.U32.pack)
    | st.sampled_from([b"deque", b"Counter", b"Decimal", b"datetime.date", b"sNaN", b"1e9999999"])
)
_soup = st.lists(_pieces, max_size=40).map(b"".join)


def _frame(value: Any) -> bytes:
    try:
        return wire.frame(LIMIT, value)
    except (wire.Unsendable, wire.TooBig):
        return b""


def _read(data: bytes) -> None:
    owned: list[Any] = [[1], {"a": 2}, {3}, bytearray(b"4")]
    decoder = Decoder(data, owned, lambda tag, number, said: (tag, number, said))
    decoder.values(1)
    # What was read is whole: no shorter frame says the same.
    for cut in {0, len(data) // 2, len(data) - 1}:
        try:
            Decoder(data[:cut], [[1], {"a": 2}, {3}, bytearray(b"4")], lambda *given: given).values(
                1
            )
        except wire.Malformed:
            continue
        raise AssertionError(f"the first {cut} bytes of {len(data)} are a whole frame, too")


def _receive(data: bytes) -> None:
    """A frame from a pipe whose other end is closed after `data`."""
    reader, writer = os.pipe()
    try:
        os.write(writer, data[:60_000])
        os.close(writer)
        payload = wire.receive(reader, LIMIT)
        assert data[4:].startswith(payload)
        assert len(payload) == int.from_bytes(data[:4], "little")
    finally:
        os.close(reader)


VALUES = Boundary(
    "wire",
    damaged(_values.map(_frame) | _soup),
    _read,
    tuple(
        _frame(value)
        for value in ([1, 2, 3, 4], {"a": (1.5, Fraction(1, 3))}, [Decimal("1.10"), {1}, b"x", "é"])
    ),
    (wire.Malformed,),
)
FRAMES = Boundary(
    "frames",
    damaged(st.binary(max_size=300).map(lambda d: wire.U32.pack(len(d)) + d)),
    _receive,
    (wire.U32.pack(3) + b"abc",),
    (EOFError, wire.TooBig),
)
BOUNDARIES = (VALUES, FRAMES)
