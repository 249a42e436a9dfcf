"""Values of the standard library and of numpy that travel whole, besides the built-in types.

Each has a name on the wire, a form in plain values, and a constructor that checks them. Only exact
types go this way. The modules are imported when a value of them is met, because they cost a start.
"""

from __future__ import annotations

import builtins
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
