"""The tests' own objects, as the program sees them: functions, iterators and instances.

They stay in the tester. Each use is a question to it, and it answers with plain values or with
further visitors. Names with a leading underscore are not answered, since they lead to the frames
and globals of the tests.
"""

from __future__ import annotations

import builtins
import gc
import sys
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

_PASSED_NAMES = """
    call len iter next getitem setitem delitem contains bool str repr hash eq ne lt le gt ge
    add sub mul truediv floordiv mod radd rsub rmul neg abs int float enter exit
"""
# Special methods of a test's class that are passed on.
PASSED = frozenset(f"__{name}__" for name in _PASSED_NAMES.split())
# What is told of a function. Its other attributes lead to the tests' globals.
FUNCTION_NAMES = ("__name__", "__qualname__", "__doc__")
# Asks the tester: the number of the object, and arguments.
Ask = Callable[[int, tuple[Any, ...], dict[str, Any]], Any]


class Callback:
    """Stands for a function of the tests."""

    def __init__(self, ask: Ask, number: int):
        self._ask, self.number = ask, number

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._ask(self.number, arguments, keywords)


class Visitor:
    """Stands for an object of the tests. Its subclasses have the special methods that it has."""

    def __init__(self, ask: Ask, number: int):
        self.__dict__.update(_ask=ask, number=number)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and name not in FUNCTION_NAMES:
            raise AttributeError(name)
        return self._ask(self.number, ("__getattribute__", name), {})

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask(self.number, ("__setattr__", name, value), {})


def make(ask: Ask, number: int, methods: Any) -> Any:
    """The visitor of an object whose class has these special methods."""
    space = {name: _special(name) for name in methods if name in PASSED}
    return type("Visitor", (Visitor,), space)(ask, number)


def _special(name: str) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any, **keywords: Any) -> Any:
        return self._ask(self.number, (name, *arguments), keywords)

    return method


def answer(request: list[Any]) -> Any:
    """What the tester answered. Raises what the tests' code raised, if the program knows it."""
    _, how, value, name = request
    if how == "return":
        return value
    if isinstance(name, type) and issubclass(name, Exception):
        raise _made(name, value)
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        raise kind(value)
    raise RuntimeError(f"the function passed in raised {name}: {value}")


def _made(kind: type[Exception], arguments: tuple[Any, ...]) -> Exception:
    """An exception of a class of the program, whose constructor may want other arguments."""
    try:
        return kind(*arguments)
    except Exception:
        made = kind.__new__(kind)
        made.args = arguments
        return made


class Shown:
    """An object of the tests that the program may use, in the ways of `methods`."""

    def __init__(self, value: Any, methods: tuple[str, ...]):
        self.value, self._methods = value, methods

    def use(self, name: Any, *arguments: Any, **keywords: Any) -> Any:
        if type(name) is not str or name not in self._methods:
            raise AttributeError(name)
        if name in ("__getattribute__", "__setattr__"):
            word = arguments[0]
            if isinstance(self.value, FunctionType):
                public = word in FUNCTION_NAMES and name == "__getattribute__"
            else:
                public = type(word) is str and not word.startswith("_")
            if not public:
                raise AttributeError(word)
            return (
                getattr(self.value, word)
                if name == "__getattribute__"
                else setattr(self.value, *arguments)
            )
        if name == "__call__":
            return self.value(*arguments, **keywords)
        return getattr(type(self.value), name)(self.value, *arguments, **keywords)


def shown(value: Any) -> tuple[str, ...]:
    """How the program may use an object of the tests; nothing for objects that stay here.

    Iterators may be advanced. Instances of the tests' own classes may be used by their public names
    and their special methods.
    """
    kind = type(value)
    if kind.__module__ == "tests" and not isinstance(value, type):
        special = [name for name in PASSED if callable(getattr(kind, name, None))]
        own = [name for name in special if getattr(object, name, None) is not getattr(kind, name)]
        return ("__getattribute__", "__setattr__", *own)
    if kind is FunctionType:
        return ("__call__", "__getattribute__")
    if hasattr(kind, "__next__") and kind.__module__ in ("builtins", "itertools"):
        return ("__iter__", "__next__")
    return ()


# Bytes of arguments that are followed at most, and of what they may grow to: each question looks at
# all of them.
_FOLLOWED_BYTES = 1 << 12
_GROWN_BYTES = 1 << 14
# The same for arguments that are followed while the program calls the tests.
_SHOWN_BYTES = 1 << 10


class Followed:
    """Mutable arguments that the program keeps, at one end of the channel.

    Both ends hold the same containers in the same order. What one of them changes, the other
    changes in place, so the tests see what an object or a generator does to its argument later.
    """

    def __init__(self, encoded: Callable[[Any], bytes]):
        """encoded: a value as bytes."""
        self.values: list[Any] = []
        # Whether the other end has ever changed one.
        self.moved = False
        self._encoded, self._image, self._room = encoded, b"", _FOLLOWED_BYTES

    def places(self, others: Sequence[Any] = ()) -> dict[int, int]:
        """id() -> place, of others and then of these containers."""
        return {id(value): place for place, value in enumerate([*others, *self.values])}

    def add(self, values: Sequence[Any]) -> None:
        self.values += values
        self.changed()

    def forget(self) -> None:
        """Follow none of them any more."""
        self.values.clear()

    def changed(self) -> bool:
        """Whether a content has changed since the last look.

        Raises what encoding does, and OverflowError for contents that have grown too large.
        """
        if not self.values:
            return False
        before, self._image = self._image, self._encoded(tuple(self.values))
        if len(self._image) > _GROWN_BYTES:
            raise OverflowError
        return self._image != before

    def counts(self, values: Sequence[Any], size: int) -> list[int]:
        """How often each argument of a request of `size` bytes is held; [] where none is followed.

        It is compared with `kept`'s count after the call.
        """
        return _references(values) if size <= self._room else []

    def kept(self, values: Sequence[Any], before: Sequence[int], size: int) -> list[int]:
        """The places of the arguments to follow, where the program holds one longer than its call.

        All containers of such a request are followed, since one may hold another.
        """
        if not before or not _more(values, before):
            return []
        # A function that calls itself by a name of its own is garbage that holds its arguments.
        gc.collect(0)
        return self._new(values, size) if _more(values, before) else []

    def shown(self, values: Sequence[Any], size: int) -> list[int]:
        """As `kept`, where the program calls the tests while it holds the arguments."""
        return self._new(values, size) if size <= min(self._room, _SHOWN_BYTES) else []

    def _new(self, values: Sequence[Any], size: int) -> list[int]:
        known = self.places()
        found = [place for place, value in enumerate(values) if id(value) not in known]
        self._room -= size if found else 0
        return found


def _references(values: Sequence[Any]) -> list[int]:
    return [sys.getrefcount(value) for value in values]


def _more(values: Sequence[Any], before: Sequence[int]) -> bool:
    return any(now > then for now, then in zip(_references(values), before, strict=True))
