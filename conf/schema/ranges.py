"""The range of every number of a config, written beside its field, and the one place that checks.

    layers: Count = 4

A field whose type is a bare int or float fails tests/conf/test_ranges.py. The loader checks whole
configs before anything reads them. Rules between fields are in each schema's own check().
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from conf.errors import SeedbedError

# Far above any real setting, and far below where whole numbers stop being exact as floats (2^53).
MOST = 10**15
# What numpy's and torch's generators take, with room for what is added to a seed.
_LARGEST_SEED = 2**31 - 1
# Up to here a range is told as an interval. Larger limits only keep arithmetic within bounds.
_INTERVAL = 100


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; `open` leaves `low` itself out."""

    low: float
    high: float = MOST
    open: bool = False

    def holds(self, value: float) -> bool:
        return (self.low < value if self.open else self.low <= value) and value <= self.high

    def rule(self, value: float) -> str:
        """What a value outside must be, in words."""
        if (self.low, self.high, self.open) == (0, 1, False):
            return "is not a share between 0 and 1"
        if self.high <= _INTERVAL:
            return f"is not in {'(' if self.open else '['}{self.low:g}, {self.high:g}]"
        if value > self.high:
            return f"must be at most {self.high}"
        return f"must be {'above' if self.open else 'at least'} {self.low:g}"

    def fix(self, name: str) -> str:
        if self.high <= _INTERVAL:
            least = f"above {self.low:g}" if self.open else f"{self.low:g}"
            return f"set {name} to a number from {least} to {self.high:g}"
        least = f"a number above {self.low:g}" if self.open else f"{self.low:g} or more"
        return f"set {name} to {least}"


# Of what there is at least one.
Count = Annotated[int, Range(1)]
# Of what there may be none; 0 often switches something off.
CountOrNone = Annotated[int, Range(0)]
# Of what there are at least two, because one has nothing to be compared with.
Several = Annotated[int, Range(2)]
# Processes, threads, parts and rounds, of which each costs memory or time at once.
Few = Annotated[int, Range(1, 65_536)]
FewOrNone = Annotated[int, Range(0, 65_536)]
Seed = Annotated[int, Range(0, _LARGEST_SEED)]
Points = Annotated[int, Range(0, 10)]
Share = Annotated[float, Range(0, 1)]
ShareAboveNone = Annotated[float, Range(0, 1, open=True)]
# Factors such as Adam's betas, which at 1 would never forget.
Decay = Annotated[float, Range(0, 0.999999999)]
Amount = Annotated[float, Range(0)]
AmountAboveNone = Annotated[float, Range(0, open=True)]
Temperature = Annotated[float, Range(0, 100)]


def in_range(section: Any, prefix: str = "") -> None:
    """Checks every number of a config section, and of the sections in it.

    prefix: of its keys, for errors, such as "model.".

    Raises:
        SeedbedError: for the first number of another type, without a value, or out of its range.
    """
    schema: Any = type(section)
    for name, hint in hints(schema).items():
        _check(f"{prefix}{name}", hint, getattr(section, name))


def number_fields(schema: type) -> Iterator[tuple[str, Any]]:
    """(name, annotated type) of every field of a schema that holds numbers."""
    for name, hint in hints(schema).items():
        if any(base in (int, float) for base in _leaves(hint)):
            yield name, hint


def range_of(hint: Any) -> Range | None:
    """The range of an annotated number, None where the annotation has none."""
    found = [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Range)]
    return found[0] if found else None


@functools.cache
def hints(schema: Any) -> dict[str, Any]:
    """The types of a schema's fields with their annotations."""
    return get_type_hints(schema, include_extras=True)


def _leaves(hint: Any) -> Iterator[Any]:
    """The types within a hint: a list's items, a dict's values, or the type itself."""
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(base) in (list, dict):
        yield from _leaves(get_args(base)[-1])
    else:
        yield base


def _check(name: str, hint: Any, value: Any) -> None:
    if dataclasses.is_dataclass(value):
        in_range(value, f"{name}.")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check(f"{name}[{number}]", get_args(hint)[0], item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(f"{name}.{key}", get_args(hint)[-1], item)
    else:
        check_number(name, hint, value)


def check_number(name: str, hint: Any, value: Any) -> None:
    """Checks one number by an annotated type such as Count; any other type passes.

    Raises:
        SeedbedError: as `in_range`.
    """
    allowed = range_of(hint)
    if allowed is None:
        return
    kind = get_args(hint)[0]
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole or (kind is float and isinstance(value, float))):
        raise SeedbedError(
            f"{name}={value!r} is no {'whole ' if kind is int else ''}number",
            allowed.fix(name),
        )
    # A whole number may be larger than any float.
    if not whole and not math.isfinite(value):
        raise SeedbedError(f"{name}={value} is not a finite number", allowed.fix(name))
    if not allowed.holds(value):
        raise SeedbedError(f"{name}={value} {allowed.rule(value)}", allowed.fix(name))
