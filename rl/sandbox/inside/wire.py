"""Codec for plain values between the candidate, the tester and the supervisor. The decoder is the trust boundary.

It builds exact built-in types only, never calls code of the sender's, and caps bytes, nodes and depth: a forged frame can be no
more than another return value. Neither pickle nor marshal could promise that.

A frame is a u32 length and a few values one after the other. Value tags (all integers little-endian, counts u32):

    N None  T True  F False  i int  d float  c complex  s str  b bytes   a bytearray
    t tuple  z frozenset  l list  q list of int64  f list of float64     S set  D dict
    R range  Q Fraction  M Decimal  C deque/OrderedDict/Counter          r back reference
    B a built-in type, by name (`int` as an argument)
    m known mutable: content that replaces, in place, an argument that the receiver owns
    H an object of the candidate's that stays in its jail     K a callable of the tests that stays in the tester
"""

from __future__ import annotations

import os
import struct
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_DEPTH = 150  # nested containers; two Python frames a level stay far from the default recursion limit of 1,000
MAX_NODES = 1_000_000  # an empty set costs 5 bytes on the wire and 216 in memory: this bounds the decoder to ~ 220 MB

_U32 = struct.Struct("<I")
_F64 = struct.Struct("<d")
_TYPES = {
    kind.__name__: kind
    for kind in (
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        bytearray,
        tuple,
        list,
        set,
        frozenset,
        dict,
        range,
        object,
        type,
    )
}
_NAMED = {"deque": (deque, list), "OrderedDict": (OrderedDict, dict), "Counter": (Counter, dict)}


class Unsendable(Exception):
    """The value has no plain form (its type, or its depth)."""


class TooBig(Exception):
    """The value or frame is over the byte or node cap."""


class Malformed(Exception):
    """The bytes are not a frame that this codec writes."""


class Encoder:
    """Writes values into `out`.

    known: id(object) -> index of a mutable that the receiver owns (its own arguments): sent so that it is updated in place.
    opaque: gives (tag, number) for an object that is passed by reference, or None.
    coerce: subclasses and views become their built-in base. Courtesy of the candidate's side; the tester never uses it.
    """

    def __init__(
        self,
        limit: int,
        known: dict[int, int] | None = None,
        opaque: Callable[[Any], tuple[bytes, int] | None] | None = None,
        coerce: bool = False,
    ):
        self.out = bytearray()
        self.mutables: list[Any] = []  # in order of first sight; also keeps them alive, so that ids stay true
        self._limit, self._known, self._opaque, self._coerce = limit, known or {}, opaque, coerce
        self._memo: dict[int, int] = {}

    def put(self, value: Any, depth: int = 0) -> Encoder:
        """Append one value. Raises Unsendable, TooBig."""
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
        self.out += _U32.pack(len(data))
        self.out += data

    def _items(self, tag: bytes, count: int, items: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Unsendable(f"a value nested more than {MAX_DEPTH} deep")
        if len(self.out) + count > self._limit or count > MAX_NODES:
            raise TooBig(f"a value of more than {self._limit:,} bytes or {MAX_NODES:,} parts")
        self.out += tag
        self.out += _U32.pack(count)
        for item in items:
            self.put(item, depth + 1)
        if len(self.out) > self._limit:
            raise TooBig(f"a value of more than {self._limit:,} bytes")

    def _mutable(self, value: Any, kind: type, depth: int) -> None:
        seen = self._memo.get(id(value))
        if seen is not None:
            self.out += b"r" + _U32.pack(seen)
            return
        self._memo[id(value)] = len(self.mutables)
        self.mutables.append(value)
        owned = self._known.get(id(value))
        if owned is not None:
            self.out += b"m" + _U32.pack(owned)
        if kind is list:
            self._list(value, depth)
        elif kind is dict:
            self._items(b"D", 2 * len(value), (part for pair in value.items() for part in pair), depth)
        elif kind is set:
            self._items(b"S", len(value), value, depth)
        else:
            self._sized(b"a", value)

    def _list(self, value: list[Any], depth: int) -> None:
        """Lists of ints or floats, the bulk of what tests pass, go as one packed array: 40x quicker than value by value."""
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
        if kind in (deque, OrderedDict, Counter):
            self.out += b"C"
            self.put(kind.__name__).put(list(value) if kind is deque else dict(value), depth + 1)
            return None
        if kind is defaultdict:  # equal to the plain dict, and its factory may be anything
            return self.put(dict(value), depth)
        return self._by_reference(value, kind, depth)

    def _type(self, value: type) -> Any:
        if _TYPES.get(value.__name__) is value:
            return self._sized(b"B", value.__name__.encode())
        return self._by_reference(value, type, 0)

    def _by_reference(self, value: Any, kind: type, depth: int) -> Any:
        if self._coerce:
            for base in (int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset):
                if isinstance(value, base):
                    return self.put(str.__str__(value) if base is str else base(value), depth + 1)  # type: ignore[call-arg]
            if isinstance(value, _VIEWS):
                return self.put(list(value), depth + 1)
        reference = self._opaque(value) if self._opaque else None
        if reference is None:
            raise Unsendable(f"a value of type {kind.__name__}")
        self.out += reference[0] + _U32.pack(reference[1])
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
    enc.out += b"c" + _F64.pack(value.real) + _F64.pack(value.imag)


def _write_float(enc: Encoder, value: float, depth: int) -> None:
    enc.out += b"d" + _F64.pack(value)


_MUTABLE = frozenset((list, dict, set, bytearray))
_VIEWS = (type({}.keys()), type({}.values()), type({}.items()), memoryview, array)
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
}


class Decoder:
    """Reads the values of one frame.

    owned: the mutables that a frame may update in place (`m`), in the order in which they were sent.
    opaque: makes the local stand-in for a reference (tag, number); without it references are malformed.
    """

    def __init__(self, data: bytes, owned: list[Any] | None = None, opaque: Callable[[bytes, int], Any] | None = None):
        self.mutables: list[Any] = []
        self._data, self._at, self._nodes = memoryview(data), 0, 0
        self._owned, self._opaque = owned or [], opaque
        self._updated: set[int] = set()

    def values(self, count: int) -> list[Any]:
        """The frame's values: exactly `count` of them, and nothing after. Raises Malformed."""
        try:
            found = [self._value(0, None) for _ in range(count)]
        except (LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:  # unknown type, bad UTF-8 ...
            raise Malformed(f"{type(error).__name__}: {error}") from None
        if self._at != len(self._data):
            raise Malformed("bytes after the last value")
        return found

    def _take(self, count: int) -> memoryview:
        start, self._at = self._at, self._at + count
        if self._at > len(self._data):
            raise Malformed("frame ends inside a value")
        return self._data[start : self._at]

    def _count(self) -> int:
        return _U32.unpack(self._take(4))[0]

    def _value(self, depth: int, into: Any) -> Any:
        self._nodes += 1
        if depth > MAX_DEPTH + 4 or self._nodes > MAX_NODES + 100:
            raise Malformed("too deep or too many values")
        tag = bytes(self._take(1))
        if tag in b"lqfSDa":
            return self._mutable(tag, depth, into)
        if into is not None:
            raise Malformed("an update that is not a container")
        read = _READERS.get(tag)
        if read is None:
            raise Malformed(f"tag {tag!r}")
        return read(self, depth)

    def _parts(self, depth: int) -> list[Any]:
        count = self._count()
        if count > len(self._data) - self._at:
            raise Malformed("count exceeds the frame")
        return [self._value(depth + 1, None) for _ in range(count)]

    def _mutable(self, tag: bytes, depth: int, into: Any) -> Any:
        kind = {b"S": set, b"D": dict, b"a": bytearray}.get(tag, list)
        if into is not None and type(into) is not kind:
            raise Malformed("an update of another type")
        target = kind() if into is None else into
        self.mutables.append(target)
        if tag in b"qf":
            packed = array("q" if tag == b"q" else "d")
            self._nodes += (size := self._count()) // 8
            packed.frombytes(self._take(size))
            target[:] = packed.tolist()
        elif tag == b"a":
            target[:] = self._take(self._count())
        elif tag == b"l":
            target[:] = self._parts(depth)
        else:
            parts = self._parts(depth)
            fresh = set(parts) if tag == b"S" else dict(zip(parts[::2], parts[1::2], strict=True))
            target.clear()
            target.update(fresh)
        return target

    def _back_reference(self, depth: int) -> Any:
        index = self._count()
        if index >= len(self.mutables):
            raise Malformed("reference to a value not yet seen")
        return self.mutables[index]

    def _update(self, depth: int) -> Any:
        index = self._count()
        if index >= len(self._owned) or index in self._updated:
            raise Malformed("update of an unknown argument")
        self._updated.add(index)
        return self._value(depth, self._owned[index])

    def _named(self, depth: int) -> Any:
        name, content = self._value(depth + 1, None), self._value(depth + 1, None)
        if type(name) is not str or name not in _NAMED or type(content) is not _NAMED[name][1]:
            raise Malformed("collection")
        return _NAMED[name][0](content)

    def _integers(self, count: int) -> list[int]:
        found = [self._value(MAX_DEPTH, None) for _ in range(count)]
        if any(type(value) is not int for value in found):
            raise Malformed("not an integer")
        return found

    def _reference(self, tag: bytes) -> Any:
        if self._opaque is None:
            raise Malformed("an object reference")
        return self._opaque(tag, self._count())


_READERS: dict[bytes, Callable[[Decoder, int], Any]] = {
    b"N": lambda dec, depth: None,
    b"T": lambda dec, depth: True,
    b"F": lambda dec, depth: False,
    b"i": lambda dec, depth: int.from_bytes(dec._take(dec._count()), "little", signed=True),
    b"d": lambda dec, depth: _F64.unpack(dec._take(8))[0],
    b"c": lambda dec, depth: complex(_F64.unpack(dec._take(8))[0], _F64.unpack(dec._take(8))[0]),
    b"s": lambda dec, depth: str(dec._take(dec._count()), "utf-8", "surrogatepass"),
    b"b": lambda dec, depth: bytes(dec._take(dec._count())),
    b"t": lambda dec, depth: tuple(dec._parts(depth)),
    b"z": lambda dec, depth: frozenset(dec._parts(depth)),
    b"R": lambda dec, depth: range(*dec._integers(3)),
    b"Q": lambda dec, depth: Fraction(*dec._integers(2)),
    b"M": lambda dec, depth: Decimal(str(dec._take(dec._count()), "ascii")),
    b"B": lambda dec, depth: _TYPES[str(dec._take(dec._count()), "ascii")],
    b"C": Decoder._named,
    b"r": Decoder._back_reference,
    b"m": Decoder._update,
    b"H": lambda dec, depth: dec._reference(b"H"),
    b"K": lambda dec, depth: dec._reference(b"K"),
}


def frame(limit: int, *values: Any) -> bytes:
    """Plain values as the payload of one frame. Raises Unsendable, TooBig."""
    encoder = Encoder(limit)
    for value in values:
        encoder.put(value)
    return bytes(encoder.out)


def send(fd: int, payload: bytes | bytearray) -> None:
    """Write one frame to a stream descriptor. By write(2): a jail's filter allows little else."""
    view = memoryview(_U32.pack(len(payload)) + payload)
    while view:
        view = view[os.write(fd, view) :]


def receive(fd: int, limit: int) -> bytes:
    """Read one frame's payload. Raises EOFError when the peer is gone, TooBig past `limit` bytes."""
    size = _U32.unpack(_exactly(fd, 4))[0]
    if size > limit + 4096:  # the values' own cap, plus room for a reason and the reply's head
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
