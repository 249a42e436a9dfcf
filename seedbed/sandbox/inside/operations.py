"""What a jail does with an object that it has handed out, when the tests use the object."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable
from typing import Any


def look(subject: Any, name: str) -> tuple[Any, Any]:
    """An attribute, and its ancestry if it is an exception class that is not built in."""
    value = getattr(subject, name)
    is_exception = isinstance(value, type) and issubclass(value, BaseException)
    ancestry = ancestry_of(value) if is_exception else ()
    return value, ancestry if len(ancestry) > 1 else None


def ancestry_of(kind: type) -> tuple[Any, ...]:
    """The ancestry of an exception class down to its first built-in base.

    Pairs (name, class) of the class and its bases that are not built in, then the name of the first
    base that is.
    """
    ancestry: list[Any] = []
    for base in kind.__mro__:
        if base.__module__ == "builtins":
            return (*ancestry, base.__name__)
        ancestry.append((base.__name__, base))
    return (*ancestry, "Exception")


def import_module(subject: None, name: str) -> tuple[Any, tuple[str, ...]]:
    """A module of the program, and its public names."""
    module = importlib.import_module(name)
    public = getattr(module, "__all__", None) or [
        word for word in vars(module) if not word.startswith("_")
    ]
    return module, tuple(public)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "get": getattr,
    "set": setattr,
    "item": operator.getitem,
    "len": len,
    "iter": iter,
    "next": next,
    # The rest serves projects (project.py).
    "import": import_module,
    "look": look,
    "set item": operator.setitem,
    "delete item": operator.delitem,
    "bool": bool,
    "str": str,
    "is instance": lambda kind, value: isinstance(value, kind),
    "enter": lambda value: type(value).__enter__(value),
    "exit": lambda value: type(value).__exit__(value, None, None, None),
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "matmul": operator.matmul,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
}
