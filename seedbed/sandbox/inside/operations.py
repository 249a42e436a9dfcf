"""What a jail does with an object that it has handed out, when the tests use the object."""

from __future__ import annotations

import copy
import enum
import importlib
import operator
import sys
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, CoroutineType, FunctionType, MethodType, ModuleType
from typing import Any

# Built-in types whose content goes out with an instance of a subclass.
BASES: tuple[type, ...] = (
    int, float, complex, str, bytes, tuple, frozenset, list, dict, set, bytearray,
)  # fmt: skip
_PLAIN_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType)
_COMPARISONS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)


def look(subject: Any, name: str) -> tuple[Any, Any]:
    """An attribute, and its ancestry if it is an exception class that is not built in."""
    value = getattr(subject, name)
    is_exception = isinstance(value, type) and issubclass(value, BaseException)
    ancestry = ancestry_of(value) if is_exception else ()
    return value, ancestry if len(ancestry) > 1 else None


# The event loop in which coroutines run for the tests, once there was one.
_loops: list[Any] = []


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


def describe(value: Any) -> tuple[Any, ...]:
    """What the tester must know of an object: its class, or what a class offers.

    An instance: ("object", class, content). A function: ("function",). A class: ("class", name,
    its special methods besides those of built-in types, whether it has no hash, ancestry of an
    exception class above itself, whether it is an enumeration, built-in base, the plain attributes
    of an exception class). A coroutine:
    ("coroutine",).
    """
    kind = type(value)
    if isinstance(value, type):
        return _describe_class(value)
    if kind is CoroutineType:
        return ("coroutine",)
    if kind in _PLAIN_FUNCTIONS:
        return ("function",)
    return "object", kind, content(value)


def _describe_class(kind: type) -> tuple[Any, ...]:
    own: set[str] = set()
    for base in type.mro(kind):
        if base is not object and base not in BASES:
            own.update(name for name, value in base.__dict__.items() if name[:2] == "__")
    ancestry = ancestry_of(kind)[1:] if issubclass(kind, BaseException) else None
    base = next((base.__name__ for base in BASES if issubclass(kind, base)), "")
    unhashable, is_enum = kind.__hash__ is None, issubclass(kind, enum.Enum)
    told = attributes_of(vars(kind)) if ancestry is not None else None
    return "class", kind.__name__, tuple(sorted(own)), unhashable, ancestry, is_enum, base, told


def attributes_of(space: Mapping[str, Any]) -> dict[str, Any]:
    """What may be told of an exception, or of its class: the attributes that hold plain values."""
    return {
        name: value
        for name, value in space.items()
        if type(name) is str and name[:2] != "__" and is_plain(value)
    }


def is_plain(value: Any, depth: int = 3) -> bool:
    """Whether a value is of exact built-in types, small, and not deep."""
    kind = type(value)
    if kind in _SCALARS:
        return kind in (float, bool, type(None)) or len(repr(value)) < 10_000
    if kind not in _CONTAINERS or len(value) > 100 or not depth:
        return False
    parts = [*value, *value.values()] if kind is dict else value
    return all(is_plain(part, depth - 1) for part in parts)


_SCALARS = (int, float, bool, str, bytes, type(None))
_CONTAINERS = (list, tuple, dict, set, frozenset)


def content(value: Any) -> Any:
    """The plain value in an instance of a subclass of a built-in type; None in other objects."""
    for base in BASES:
        if isinstance(value, base):
            if base in (list, tuple, set, frozenset, bytes, bytearray):
                return base(base.__iter__(value))  # type: ignore[attr-defined,call-arg]
            if base is dict:
                return dict(dict.items(value))
            return base.__str__(value) if base is str else _number(base, value)
    return None


def fill(value: Any, content: Any) -> None:
    """Give a mutable object of a built-in type, or of a subclass, another content in place."""
    if value is content:
        return
    if isinstance(value, list | bytearray):
        base: Any = list if isinstance(value, list) else bytearray
        base.__setitem__(value, slice(None), content)
        return
    kind: Any = dict if isinstance(value, dict) else set
    kind.clear(value)
    kind.update(value, content)


def _number(base: Any, value: Any) -> Any:
    if base is complex:
        parts: Any = complex
        return complex(parts.real.__get__(value), parts.imag.__get__(value))
    return int.__int__(value) if base is int else float.__float__(value)


def compare(value: Any, other: Any) -> tuple[bool | None, ...]:
    """All six comparisons of two objects, in one order whichever of them the tests ask for.

    None for one that does not hold or gives no bool. So a program cannot say yes to `==` and to
    `!=`, each when it is asked.
    """
    found: list[bool | None] = []
    for test in _COMPARISONS:
        try:
            answer = test(value, other)
        except TypeError:
            answer = None
        found.append(answer if type(answer) is bool else None)
    return tuple(found)


def special(value: Any, name: str, *arguments: Any) -> Any:
    """Call a special method of an object, found on its class as Python finds it."""
    kind = type(value)
    method = getattr(kind, name)
    if name in ("__reversed__",) and method is None:
        raise TypeError(f"{kind.__name__} is not reversible")
    return method(value, *arguments)


def run_coroutine(value: Any) -> Any:
    """The result of a coroutine or another awaitable, in the program's event loop."""
    asyncio: Any = importlib.import_module("asyncio")

    async def wait() -> Any:
        return await value

    if not _loops:
        _loops.append(asyncio.new_event_loop())
    return _loops[0].run_until_complete(wait())


def send(value: Any, what: Any) -> tuple[Any, ...]:
    """The next value of an iterator. At its end none, or None and the value that it returns."""
    try:
        return (next(value) if what is None else value.send(what),)
    except StopIteration as stop:
        return () if stop.value is None else (None, stop.value)


def names(scope: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Any, ...]]:
    """The names of a program: its functions, its other values, and modules it has imported."""
    functions, others, modules = [], [], []
    for name, value in scope.items():
        if name.startswith("__") and name.endswith("__"):
            continue
        if isinstance(value, ModuleType):
            modules.append((name, value.__name__))
        elif isinstance(value, type) or not callable(value):
            others.append(name)
        else:
            functions.append(name)
    return tuple(functions), tuple(others), tuple(modules)


def raised(error: BaseException) -> tuple[str, Any]:
    """An exception as a reply.

    Eight values: the nearest built-in base, its own name, plain arguments, the message, the
    program's line (or 0), its classes below that base, the most derived one first, the place of a
    class of the standard library, and plain attributes.
    """
    *classes, base = ancestry_of(type(error))
    try:
        text = str(error)[:300]
    except Exception:
        text = "its text cannot be had"
    return "raise", (
        base,
        type(error).__name__,
        _simple(error.args),
        text,
        _line(error),
        tuple(kind for _, kind in classes),
        _known(type(error), error),
        attributes_of(vars(error)) | _cause(error),
    )


def _cause(error: BaseException) -> dict[str, Any]:
    """What an exception was raised from: the name of its built-in base, and its arguments."""
    cause = error.__cause__
    return {"__cause__": (ancestry_of(type(cause))[-1], _simple(cause.args))} if cause else {}


def _simple(values: Any) -> tuple[Any, ...]:
    return tuple(value if is_plain(value) else str(value)[:500] for value in values[:5])


def _known(kind: type, error: BaseException) -> tuple[Any, ...] | None:
    """The module, name and arguments of an exception of the standard library."""
    if kind.__module__ == "builtins" or kind.__module__.split(".")[0] not in _LIBRARY:
        return None
    made = error.__reduce__()
    return kind.__module__, kind.__name__, _simple(made[1] if len(made) > 1 else error.args)


_LIBRARY = sys.stdlib_module_names - {"solution"}


def left(error: BaseException) -> tuple[str, str]:
    """An exit in the program's top level, as a reply."""
    return "exit", f"{type(error).__name__}: {error}"[:300]


def _line(error: BaseException) -> int:
    """The program's line that was running, or that does not parse; 0 if none was."""
    if isinstance(error, SyntaxError) and error.filename == "<program>":
        return error.lineno or 0
    line, traceback = 0, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<program>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


OPERATIONS: dict[str, Callable[..., Any]] = {
    "value": lambda value: value,
    "special": special,
    "compare": compare,
    "send": send,
    "run": run_coroutine,
    "list": dir,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "fill": fill,
    "delete": delattr,
    "is subclass": lambda kind, other: issubclass(other, kind),
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
