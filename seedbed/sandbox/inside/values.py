"""Values and exceptions of the standard library and of numpy that travel whole.

Each has a name on the wire, a form in plain values, and a constructor that checks them. Only exact
types go this way. The modules are imported when a value of them is met, because they cost a start.
"""

from __future__ import annotations

import builtins
import dis
import importlib
import sys
from collections.abc import Callable
from typing import Any

# Name on the wire -> module, type, the plain form of a value, and the value of a plain form.
_Row = tuple[str, str, Callable[[Any], Any], Callable[[Any, Any], Any]]


def _call(kind: Any, parts: Any) -> Any:
    return kind(*parts)


def _zone(value: Any) -> tuple[Any, ...]:
    """A date's or time's fields. A zone must have a plain form itself."""
    fields = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    parts = [getattr(value, name) for name in fields if hasattr(value, name)]
    return (*parts, value.tzinfo, value.fold)


def _zoned(kind: Any, parts: Any) -> Any:
    *fields, fold = parts
    return kind(*fields, fold=fold)


def _array(value: Any) -> tuple[Any, ...]:
    if value.dtype.kind not in "biufcSU" or value.dtype.names:
        raise TypeError("an array of objects")
    return value.dtype.str, value.shape, value.tobytes()


def _numpy_array(kind: Any, parts: Any) -> Any:
    numpy: Any = importlib.import_module("numpy")
    form, shape, data = parts
    if type(form) is not str or form[1:2] not in "biufcSU" or type(data) is not bytes:
        raise ValueError("an array")
    return numpy.frombuffer(data, numpy.dtype(form)).reshape(shape).copy()


def _plain(kind: Any, parts: Any) -> Any:
    return kind(parts)


_ROWS: dict[str, _Row] = {
    "date": ("datetime", "date", lambda v: (v.year, v.month, v.day), _call),
    "datetime": ("datetime", "datetime", _zone, _zoned),
    "time": ("datetime", "time", _zone, _zoned),
    "timedelta": ("datetime", "timedelta", lambda v: (v.days, v.seconds, v.microseconds), _call),
    "timezone": ("datetime", "timezone", lambda v: v.__getinitargs__(), _call),
    "UUID": ("uuid", "UUID", lambda v: v.int, lambda kind, number: kind(int=number)),
    **{
        name: ("pathlib", name, str, _plain)
        for name in ("PurePosixPath", "PosixPath", "PureWindowsPath")
    },
    "IPv4Address": ("ipaddress", "IPv4Address", str, _plain),
    "IPv6Address": ("ipaddress", "IPv6Address", str, _plain),
    "IPv4Network": ("ipaddress", "IPv4Network", str, _plain),
    "IPv6Network": ("ipaddress", "IPv6Network", str, _plain),
    "Pattern": (
        "re",
        "Pattern",
        lambda v: (v.pattern, v.flags),
        lambda kind, parts: importlib.import_module("re").compile(*parts),
    ),
    "array": ("array", "array", lambda v: (v.typecode, v.tolist()), _call),
    "slice": ("builtins", "slice", lambda v: (v.start, v.stop, v.step), _call),
    "memoryview": ("builtins", "memoryview", bytes, _plain),
    "mappingproxy": ("types", "MappingProxyType", dict, _plain),
    "dict_keys": ("", "", list, lambda kind, parts: dict.fromkeys(parts).keys()),
    "dict_values": ("", "", list, lambda kind, parts: dict(enumerate(parts)).values()),
    "dict_items": ("", "", list, lambda kind, parts: dict(parts).items()),
    "ndarray": ("numpy", "ndarray", _array, _numpy_array),
}
_VIEWS = {
    "dict_keys": type({}.keys()),
    "dict_values": type({}.values()),
    "dict_items": type({}.items()),
}
# Exceptions that are built in, by name.
EXCEPTIONS = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, BaseException)
}
# Exceptions of the program that reach the tests as themselves. StopIteration does not, unless the
# calling line catches it: it would end a test's all(map(...)) early, as if that had passed.
RAISABLE = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type)
    and issubclass(kind, Exception)
    and not issubclass(kind, StopIteration)
    and not kind.__name__.endswith("Group")
}
# Those that end a project's tests with success, and are raised for test code only.
ENDING = {kind.__name__: kind for kind in (SystemExit, KeyboardInterrupt, GeneratorExit)}


def take_apart(value: Any) -> tuple[str, Any] | None:
    """The name and the plain form of a value; None if it has none."""
    kind = type(value)
    name = kind.__name__
    if EXCEPTIONS.get(name) is kind:
        return "exception", (name, value.args)
    if isinstance(value, BaseException):
        return None
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic) and kind.__module__ == "numpy":
        return ("numpy", _array(value)) if value.dtype.kind in "biufcSU" else None
    row = _ROWS.get(name)
    if row is None or _type(name, row) is not kind:
        return None
    return name, row[2](value)


def put_together(name: Any, parts: Any) -> Any:
    """The value of a name and a plain form. Raises ValueError, or what a constructor raises."""
    if name == "exception":
        kind, arguments = parts
        return EXCEPTIONS[kind](*arguments)
    if name == "numpy":
        return _numpy_array(None, parts)[()]
    row = _ROWS.get(name) if type(name) is str else None
    if row is None:
        raise ValueError("an unknown kind of value")
    return row[3](_type(name, row), parts)


def _type(name: str, row: _Row) -> Any:
    if not row[0]:
        return _VIEWS[name]
    module = sys.modules.get(row[0]) or importlib.import_module(row[0])
    return getattr(module, row[1], None)


def library_exception(place: Any, base: str) -> tuple[Any, Any] | None:
    """The class of the standard library at a place, and the arguments that make an exception."""
    if type(place) is not tuple or [type(part) for part in place] != [str, str, tuple]:
        return None
    module, name, arguments = place
    if module.split(".")[0] not in sys.stdlib_module_names:
        return None
    try:
        kind: Any = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    right = isinstance(kind, type) and issubclass(kind, RAISABLE.get(base, ()))
    return (kind, arguments) if right else None


def bare(kind: Any, arguments: tuple[Any, ...]) -> BaseException | None:
    """An exception whose constructor wants other arguments, made without it."""
    if issubclass(kind, UnicodeError):
        return None
    made: BaseException = kind.__new__(kind)
    made.args = arguments
    return made


def is_caught() -> bool:
    """Whether the line of the tests that asked for this catches StopIteration itself."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename not in ("<tests>", "<setup>"):
        frame = frame.f_back
    parse: Any = getattr(dis, "_parse_exception_table", None)
    if frame is None or parse is None:
        return False
    for entry in parse(frame.f_code):
        if entry.start <= frame.f_lasti < entry.end and not entry.lasti:
            return _catches(frame.f_code, entry.target)
    return False


def _catches(code: Any, target: int) -> bool:
    """Whether the handler at `target` begins with `except StopIteration` or a class above it."""
    steps = [step for step in dis.get_instructions(code) if step.offset >= target][:3]
    names = ("StopIteration", "Exception", "BaseException")
    return (
        len(steps) == 3
        and steps[0].opname == "PUSH_EXC_INFO"
        and steps[1].opname.startswith("LOAD_")
        and steps[1].argval in names
        and steps[2].opname == "CHECK_EXC_MATCH"
    )
