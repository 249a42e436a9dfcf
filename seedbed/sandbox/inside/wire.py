"""Plain values as bytes, between the program, the tester and the supervisor.

This module has the format, the encoder and the frames. decoder.py has the side that must not be
fooled. pickle and marshal are not safe to read from an enemy.

A frame is a u32 length, then a few values one after the other. All integers are little-endian, and
counts are u32. The tags of values:

    N None  T True  F False  i int  d float  c complex  s str  b bytes   a bytearray
    t tuple  z frozenset  l list  q list of int64  f list of float64     S set  D dict
    R range  Q Fraction  M Decimal  C deque/OrderedDict/Counter          r back reference
    B a built-in type or constant, by its name (`int` as an argument)
    V a value of the standard library, by its name and its plain form (values.py)
    m known mutable: content that replaces, in place, an argument that the receiver owns
    H an object of the program that stays in the jail   O the same, with what it is (objects.py)
    K a callable of the tests that stays in the tester
    J the same for an object of the tests or an iterator, with what it can do (visitors.py)
"""

from __future__ import annotations

import builtins
import os
import struct
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from . import values

# Nested containers. At two Python frames per level this is far from the recursion limit of 1,000.
MAX_DEPTH = 150
# An empty set takes 5 bytes on the wire and 216 in memory, so a decoder needs at most 220 MB.
MAX_NODES = 1_000_000

U32 = struct.Struct("<I")
F64 = struct.Struct("<d")
TYPES: dict[str, Any] = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and kind.__name__ == name
}
TYPES.update(NotImplemented=NotImplemented, Ellipsis=...)
# Makers of the values of a default dictionary that are sent with it.
_FACTORIES = (int, float, str, list, dict, set, tuple, bool, type(None))


def _bounded(parts: list[Any]) -> deque[Any]:
    items, most = parts
    return deque(items, most)


def _defaults(parts: list[Any]) -> defaultdict[Any, Any]:
    content, factory = parts
    if factory is not None and factory not in _FACTORIES:
        raise Malformed("a factory")
    return defaultdict(factory, content)


NAMED: dict[str, tuple[Any, type]] = {
    "deque": (_bounded, list),
    "OrderedDict": (OrderedDict, dict),
    "Counter": (Counter, dict),
    "defaultdict": (_defaults, list),
}


class Unsendable(Exception):
    """The value has no plain form (its type, or its depth)."""


class TooBig(Exception):
    """The value or frame is over the byte or node cap."""


class Malformed(Exception):
    """The bytes are not a frame that this codec writes."""


class Encoder:
    """Writes values into `out`.

    limit: bytes of `out`.
    known: id() of a mutable value that the receiver owns -> its index. Such a value is sent so that
        the receiver updates it in place.
    opaque: gives the tag and number of an object that is passed by reference, and what describes it
        or None. Gives None for an object that must not be passed.
    coerce: subclasses become their built-in base. Only the jail of a project does so.
    nodes: values of a container at most.
    """

    def __init__(
        self,
        limit: int,
        known: dict[int, int] | None = None,
        opaque: Callable[[Any], tuple[bytes, int, Any] | None] | None = None,
        coerce: bool = False,
        nodes: int = MAX_NODES,
    ):
        self.out = bytearray()
        # In order of first sight. The list also keeps them alive, so that id() stays unique.
        self.mutables: list[Any] = []
        self._limit, self._known, self._opaque, self._coerce = limit, known or {}, opaque, coerce
        self._nodes = nodes
        self._memo: dict[int, int] = {}

    def put(self, value: Any, depth: int = 0) -> Encoder:
        """Append one value. Raises Unsendable or TooBig."""
        kind = type(value)
        write = _WRITERS.get(kind)
        if write is not None:
            write(self, value, depth)
        elif kind in _MUTABLE:
            self._mutable(value, kind, depth)
        else:
            self._other(value, kind, depth)
        return self

    def _sized(self, tag: bytes, data: bytes | bytearray) -> None:
        if len(self.out) + len(data) > self._limit:
            raise TooBig(f"a value of more than {self._limit:,} bytes")
        self.out += tag
        self.out += U32.pack(len(data))
        self.out += data

    def _items(self, tag: bytes, count: int, items: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Unsendable(f"a value nested more than {MAX_DEPTH} deep")
        if len(self.out) + count > self._limit or count > self._nodes:
            raise TooBig(f"a value of more than {self._limit:,} bytes or {self._nodes:,} parts")
        self.out += tag
        self.out += U32.pack(count)
        for item in items:
            self.put(item, depth + 1)
        if len(self.out) > self._limit:
            raise TooBig(f"a value of more than {self._limit:,} bytes")

    def _mutable(self, value: Any, kind: type, depth: int) -> None:
        seen = self._memo.get(id(value))
        if seen is not None:
            self.out += b"r" + U32.pack(seen)
            return
        self._memo[id(value)] = len(self.mutables)
        self.mutables.append(value)
        owned = self._known.get(id(value))
        if owned is not None:
            self.out += b"m" + U32.pack(owned)
        if kind is list:
            self._list(value, depth)
        elif kind is dict:
            self._items(
                b"D", 2 * len(value), (part for pair in value.items() for part in pair), depth
            )
        elif kind is set:
            self._items(b"S", len(value), value, depth)
        else:
            self._sized(b"a", value)

    def _list(self, value: list[Any], depth: int) -> None:
        """Lists of ints or of floats go as one packed array.

        They are the bulk of what tests pass. The array is 40 times as fast as single values.
        """
        kinds = set(map(type, value)) if len(value) > 3 else ()
        if kinds == {float}:
            return self._sized(b"f", array("d", value).tobytes())
        if kinds == {int}:
            try:
                return self._sized(b"q", array("q", value).tobytes())
            except OverflowError:
                pass
        return self._items(b"l", len(value), value, depth)

    def _other(self, value: Any, kind: type, depth: int) -> Any:
        if kind in (OrderedDict, Counter):
            return self._named(kind, dict(value), depth)
        if kind is deque:
            return self._named(kind, [list(value), value.maxlen], depth)
        if kind is defaultdict and value.default_factory in (None, *_FACTORIES):
            return self._named(kind, [dict(value), value.default_factory], depth)
        return self._by_reference(value, kind, depth)

    def _named(self, kind: type, content: Any, depth: int) -> None:
        self.out += b"C"
        self.put(kind.__name__).put(content, depth + 1)

    def _type(self, value: type) -> Any:
        if TYPES.get(value.__name__) is value:
            return self._sized(b"B", value.__name__.encode())
        return self._by_reference(value, type, 0)

    def _by_reference(self, value: Any, kind: type, depth: int) -> Any:
        if self._coerce:
            for base in _BASES:
                if isinstance(value, base):
                    return self.put(str.__str__(value) if base is str else base(value), depth + 1)
        try:
            parts = values.take_apart(value)
        except Exception:
            # A form that a program has bent. The object is passed by reference.
            parts = None
        if parts is not None:
            self.out += b"V"
            return self.put(parts[0]).put(parts[1], depth + 1)
        reference = self._opaque(value) if self._opaque else None
        if reference is None:
            raise Unsendable(f"a value of type {kind.__name__}")
        self.out += reference[0] + U32.pack(reference[1])
        if reference[0] in b"OJ":
            self.put(reference[2], depth + 1)
        return None


def _write_int(enc: Encoder, value: int, depth: int) -> None:
    enc._sized(b"i", value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True))


def _write_range(enc: Encoder, value: range, depth: int) -> None:
    enc.out += b"R"
    enc.put(value.start).put(value.stop).put(value.step)


def _write_fraction(enc: Encoder, value: Fraction, depth: int) -> None:
    enc.out += b"Q"
    enc.put(value.numerator).put(value.denominator)


def _write_decimal(enc: Encoder, value: Decimal, depth: int) -> None:
    enc._sized(b"M", str(value).encode())


def _write_complex(enc: Encoder, value: complex, depth: int) -> None:
    enc.out += b"c" + F64.pack(value.real) + F64.pack(value.imag)


def _write_float(enc: Encoder, value: float, depth: int) -> None:
    enc.out += b"d" + F64.pack(value)


_MUTABLE = frozenset((list, dict, set, bytearray))
_BASES: tuple[Any, ...] = (
    int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset,
)  # fmt: skip
_WRITERS: dict[type, Callable[[Encoder, Any, int], None]] = {
    type(None): lambda enc, value, depth: enc.out.extend(b"N"),
    bool: lambda enc, value, depth: enc.out.extend(b"T" if value else b"F"),
    int: _write_int,
    float: _write_float,
    complex: _write_complex,
    str: lambda enc, value, depth: enc._sized(b"s", value.encode("utf-8", "surrogatepass")),
    bytes: lambda enc, value, depth: enc._sized(b"b", value),
    tuple: lambda enc, value, depth: enc._items(b"t", len(value), value, depth),
    frozenset: lambda enc, value, depth: enc._items(b"z", len(value), value, depth),
    range: _write_range,
    Fraction: _write_fraction,
    Decimal: _write_decimal,
    type: lambda enc, value, depth: enc._type(value),
    type(NotImplemented): lambda enc, value, depth: enc._sized(b"B", b"NotImplemented"),
    type(...): lambda enc, value, depth: enc._sized(b"B", b"Ellipsis"),
}


def frame(limit: int, *values: Any) -> bytes:
    """Plain values as the payload of one frame. Raises Unsendable or TooBig."""
    encoder = Encoder(limit)
    for value in values:
        encoder.put(value)
    return bytes(encoder.out)


def send(fd: int, payload: bytes | bytearray) -> None:
    """Write one frame to a stream descriptor, by write(2). A jail's filter allows little else."""
    view = memoryview(U32.pack(len(payload)) + payload)
    while view:
        view = view[os.write(fd, view) :]


def receive(fd: int, limit: int) -> bytes:
    """Read the payload of one frame.

    Raises EOFError when the peer is gone, and TooBig for a frame of more than `limit` bytes.
    """
    size = U32.unpack(_exactly(fd, 4))[0]
    # `limit` caps the values. A reply's head and a reason need a little more.
    if size > limit + 4096:
        raise TooBig(f"a frame of {size:,} bytes; the limit is {limit:,}")
    return _exactly(fd, size)


def _exactly(fd: int, count: int) -> bytes:
    data = os.read(fd, count)
    if len(data) == count:
        return data
    parts = bytearray(data)
    while len(parts) < count:
        if not data:
            raise EOFError("the peer closed the channel")
        data = os.read(fd, min(count - len(parts), 1 << 20))
        parts += data
    return bytes(parts)
