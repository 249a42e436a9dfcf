"""The tests' own objects, as the program sees them: functions, iterators and instances.

They stay in the tester. Each use is a question to it, and it answers with plain values or with
further visitors. Names with a leading underscore are not answered, since they lead to the frames
and globals of the tests.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

# Special methods of a test's class that are passed on.
PASSED = frozenset(
    f"__{name}__"
    for name in (
        "call len iter next getitem setitem delitem contains bool str repr hash eq ne lt le gt ge "
        "add sub mul truediv floordiv mod radd rsub rmul neg abs int float enter exit"
    ).split()
)
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
    """What the tester answered. Raises what the tests' code raised, if that is built in."""
    _, how, value, name = request
    if how == "return":
        return value
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        raise kind(value)
    raise RuntimeError(f"the function passed in raised {name}: {value}")
