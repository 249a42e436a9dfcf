"""Turns bytes into plain values. This is the trust boundary; wire.py describes the format.

The decoder builds exact built-in types only and never calls code of the sender. It caps nodes and
depth, and wire.receive caps bytes. So a forged frame is no more than another return value.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from . import values
from .wire import F64, MAX_DEPTH, MAX_NODES, NAMED, TYPES, U32, Malformed


class Decoder:
    """Reads the values of one frame.

    owned: mutable values that a frame may update in place (tag `m`), in the order they were sent.
    opaque: makes the local stand-in for a reference, from its tag, number and description. Without
        it a frame with references is malformed.
    nodes: values at most. The jail takes what the tests send.
    """

    def __init__(
        self,
        data: bytes,
        owned: list[Any] | None = None,
        opaque: Callable[[bytes, int, Any], Any] | None = None,
        nodes: int = MAX_NODES,
    ):
        self.mutables: list[Any] = []
        # Places of the owned values that the frame has updated.
        self.updated: set[int] = set()
        self._data, self._at, self._nodes = memoryview(data), 0, 0
        self._owned, self._opaque, self._most = owned or [], opaque, nodes + 100

    def values(self, count: int) -> list[Any]:
        """The frame's values: exactly `count` of them, and nothing after them.

        Raises Malformed.
        """
        try:
            found = [self._value(0, None) for _ in range(count)]
        except (LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            # Such as an unknown type, bad UTF-8, or a fraction with a zero below.
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
        return U32.unpack(self._take(4))[0]

    def _value(self, depth: int, into: Any) -> Any:
        self._nodes += 1
        if depth > MAX_DEPTH + 4 or self._nodes > self._most:
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
            size = self._count()
            # Each of its values is one, and takes four times its bytes.
            self._nodes += size // 8
            if self._nodes > self._most:
                raise Malformed("too deep or too many values")
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
        if index >= len(self._owned) or index in self.updated:
            raise Malformed("update of an unknown argument")
        self.updated.add(index)
        return self._value(depth, self._owned[index])

    def _named(self, depth: int) -> Any:
        name, content = self._value(depth + 1, None), self._value(depth + 1, None)
        if type(name) is not str or name not in NAMED or type(content) is not NAMED[name][1]:
            raise Malformed("collection")
        return NAMED[name][0](content)

    def _integers(self, count: int) -> list[int]:
        found = [self._value(MAX_DEPTH, None) for _ in range(count)]
        if any(type(value) is not int for value in found):
            raise Malformed("not an integer")
        return found

    def _reference(self, tag: bytes, depth: int) -> Any:
        if self._opaque is None:
            raise Malformed("an object reference")
        number = self._count()
        return self._opaque(tag, number, self._value(depth + 1, None) if tag in b"OJ" else None)

    def _whole(self, depth: int) -> Any:
        name, parts = self._value(depth + 1, None), self._value(depth + 1, None)
        try:
            return values.put_together(name, parts)
        except Exception as error:
            # A constructor of the standard library may raise anything for what it does not like.
            raise Malformed(f"{type(error).__name__}: {error}") from None


_READERS: dict[bytes, Callable[[Decoder, int], Any]] = {
    b"N": lambda dec, depth: None,
    b"T": lambda dec, depth: True,
    b"F": lambda dec, depth: False,
    b"i": lambda dec, depth: int.from_bytes(dec._take(dec._count()), "little", signed=True),
    b"d": lambda dec, depth: F64.unpack(dec._take(8))[0],
    b"c": lambda dec, depth: complex(F64.unpack(dec._take(8))[0], F64.unpack(dec._take(8))[0]),
    b"s": lambda dec, depth: str(dec._take(dec._count()), "utf-8", "surrogatepass"),
    b"b": lambda dec, depth: bytes(dec._take(dec._count())),
    b"t": lambda dec, depth: tuple(dec._parts(depth)),
    b"z": lambda dec, depth: frozenset(dec._parts(depth)),
    b"R": lambda dec, depth: range(*dec._integers(3)),
    b"Q": lambda dec, depth: Fraction(*dec._integers(2)),
    b"M": lambda dec, depth: Decimal(str(dec._take(dec._count()), "ascii")),
    b"B": lambda dec, depth: TYPES[str(dec._take(dec._count()), "ascii")],
    b"C": Decoder._named,
    b"r": Decoder._back_reference,
    b"m": Decoder._update,
    b"V": Decoder._whole,
    **{
        tag: lambda dec, depth, tag=tag: dec._reference(tag, depth)
        for tag in (b"H", b"K", b"O", b"J")
    },
}
