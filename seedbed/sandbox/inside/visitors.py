"""The tests' own objects, as the program sees them: functions, iterators and instances.

They stay in the tester. Each use is a question to it, and it answers with plain values or with
further visitors. Names with a leading underscore are not answered, since they lead to the frames
and globals of the tests.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
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
