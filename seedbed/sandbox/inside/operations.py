"""What a jail does with the objects that it has handed out, when the tests use them."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable
from typing import Any


def look(subject: Any, name: str) -> tuple[Any, Any]:
    """An attribute; and where it is an exception class that is not built in, its line, else None."""
    value = getattr(subject, name)
    line = line_of(value) if isinstance(value, type) and issubclass(value, BaseException) else ()
    return value, line if len(line) > 1 else None


def line_of(kind: type) -> tuple[Any, ...]:
    """(name, class) of an exception class and of its bases that are not built in, then the name of
    the first that is.
    """
    line: list[Any] = []
    for base in kind.__mro__:
        if base.__module__ == "builtins":
            return (*line, base.__name__)
        line.append((base.__name__, base))
    return (*line, "Exception")


def import_module(subject: None, name: str) -> tuple[Any, tuple[str, ...]]:
    """A module of the program's and its public names."""
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
    # of projects (project.py)
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
