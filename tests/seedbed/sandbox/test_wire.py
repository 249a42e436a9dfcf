from __future__ import annotations

import math
import os
import random
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from seedbed.sandbox.inside import wire
from seedbed.sandbox.inside.decoder import Decoder

LIMIT = 1 << 20


def there_and_back(value: Any) -> Any:
    return Decoder(wire.frame(LIMIT, value)).values(1)[0]


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 255, -256, 2**63 - 1, -(2**63), 2**64, 10**400,
        1.5, -0.0, math.inf, 2 + 3j, "", "héllo \ud800", b"\0\xff", bytearray(b"ab"),
        (), (1, (2.0, None)), [1, 2, 3, 4, 5], [1, 2, 3, 2**70], [0.5] * 9, [True, 1, 1.0, 2],
        {1: [2], "a": {"b": ()}}, {1, "x"}, frozenset({2}), range(1, 9, 2), Fraction(-3, 7),
        Decimal("1.10"), deque([1, [2]]), OrderedDict([("b", 1), ("a", 2)]), Counter("abca"),
        int, list,
    ],
)  # fmt: skip
def test_a_plain_value_comes_back_equal_and_of_the_same_exact_types(value: Any) -> None:
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_nan_comes_back_as_another_object() -> None:
    values = there_and_back([math.nan] * 5)
    assert all(math.isnan(value) for value in values)
    assert values != there_and_back([math.nan] * 5)


def test_sharing_and_cycles_survive() -> None:
    inner = [1]
    outer: list[Any] = [inner, inner]
    outer.append(outer)
    back = there_and_back(outer)
    assert back[0] is back[1]
    assert back[2] is back


def test_a_subclass_is_refused_by_the_tester_and_becomes_its_base_in_the_jail() -> None:
    class Lie(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    with pytest.raises(wire.Unsendable):
        wire.Encoder(LIMIT).put(Lie(3))
    (back,) = Decoder(bytes(wire.Encoder(LIMIT, coerce=True).put(Lie(3)).out)).values(1)
    assert type(back) is int
    assert back != 4
    assert there_and_back(defaultdict(list, {1: [2]})) == {1: [2]}


def test_an_owned_argument_is_updated_in_place() -> None:
    sent = wire.Encoder(LIMIT).put(([3, 1, 2], {"k": 1}))
    mine, table = sent.mutables
    receiver = Decoder(bytes(sent.out))
    (arguments,) = receiver.values(1)
    arguments[0].sort()
    arguments[1]["new"] = arguments[0]
    known = {id(value): index for index, value in enumerate(receiver.mutables)}
    reply = wire.Encoder(LIMIT, known).put(arguments)
    Decoder(bytes(reply.out), sent.mutables).values(1)
    assert mine == [1, 2, 3]
    assert table["new"] is mine


def test_values_over_the_limits_are_refused_by_the_encoder() -> None:
    with pytest.raises(wire.TooBig):
        wire.frame(LIMIT, "x" * (LIMIT + 1))
    with pytest.raises(wire.TooBig):
        wire.frame(LIMIT, [None] * (LIMIT + 1))
    deep: list[Any] = []
    for _ in range(wire.MAX_DEPTH + 1):
        deep = [deep]
    with pytest.raises(wire.Unsendable):
        wire.frame(LIMIT, deep)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"x", b"i\x05\0\0\0ab", b"l\xff\xff\xff\xff", b"S\x01\0\0\0l\0\0\0\0",
        b"D\x01\0\0\0N", b"r\0\0\0\0", b"m\0\0\0\0N", b"H\0\0\0\0",
        b"Q" + b"i\x01\0\0\0\x01" + b"i\x01\0\0\0\0", b"s\x01\0\0\0\xff", b"NN",
        b"l\x01\0\0\0" * 400 + b"N", b"M\x03\0\0\0abc", b"Cs\x04\0\0\0evill\0\0\0\0",
        b"B\x04\0\0\0eval",
        b"q\x03\0\0\0abc", b"RNNN",
    ],
)  # fmt: skip
def test_a_malformed_frame_is_named_so(data: bytes) -> None:
    with pytest.raises(wire.Malformed):
        Decoder(data).values(1)


def test_random_bytes_give_plain_values_or_malformed_and_nothing_else() -> None:
    draw = random.Random(7)
    tags = b"NTFidcsbatzlqfSDRQMCrmHKB\0\0\0\0\1\2\3"
    plain = (
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        bytearray,
        tuple,
        frozenset,
        list,
        set,
        dict,
        type,
    )
    decoded = 0
    for _ in range(20000):
        data = bytes(draw.choice(tags) for _ in range(draw.randint(1, 24)))
        try:
            (value,) = Decoder(data, owned=[[], {}]).values(1)
        except wire.Malformed:
            continue
        decoded += 1
        assert type(value) in plain or type(value) in (
            range,
            Fraction,
            Decimal,
            deque,
            OrderedDict,
            Counter,
        )
    assert decoded > 100


def test_a_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"\xff\xff\xff\x7f")
    with pytest.raises(wire.TooBig):
        wire.receive(reader, LIMIT)
    os.close(writer)
    with pytest.raises(EOFError):
        wire.receive(reader, LIMIT)
    os.close(reader)


def test_numbers_that_travel_packed_count_as_values_one_by_one() -> None:
    """Below the cap of the nodes by the list's bytes alone, and above it by its values."""
    most = [0] * wire.MAX_NODES
    data = wire.frame(1 << 28, most)
    assert Decoder(data).values(1) == [most]
    with pytest.raises(wire.Malformed, match="too many values"):
        Decoder(wire.frame(1 << 28, [*most, *range(200)])).values(1)
    with pytest.raises(wire.Malformed, match="too many values"):
        Decoder(wire.frame(1 << 28, [0.5] * 90, [0.5] * 90), nodes=50).values(2)
