"""What a row asks of the judge, whatever its form: limits, a special judge, a rule.

A field that changes the verdict is followed, or its row is refused by the field's name. It is never
passed over in silence.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_args

from conf.errors import SeedbedError
from seedbed.sandbox import python_source
from seedbed.sandbox.formats.fields import Row
from seedbed.sandbox.formats.form import Form
from seedbed.sandbox.formats.multipl_e import in_language
from seedbed.sandbox.verdict import OwnLimits, Rule, StdioTests, Tests

# A limit in a unit: TACO writes "2.0 seconds" and "256.0 megabytes".
_AMOUNT = re.compile(r"\s*([\d.]+)\s*([a-z]*)\s*", re.IGNORECASE)
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0}
_SECONDS |= {"ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3}
_SECONDS |= {"m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0}
_BYTES = {"": 1 << 20, "b": 1, "byte": 1, "bytes": 1, "kb": 1 << 10, "kib": 1 << 10, "k": 1 << 10}
_BYTES |= {"kilobyte": 1 << 10, "kilobytes": 1 << 10, "mb": 1 << 20, "mib": 1 << 20, "m": 1 << 20}
_BYTES |= {"megabyte": 1 << 20, "megabytes": 1 << 20, "gb": 1 << 30, "gib": 1 << 30, "g": 1 << 30}
_BYTES |= {"gigabyte": 1 << 30, "gigabytes": 1 << 30}
# Field -> the unit of a plain number. open-r1 and TACO mean megabytes, CodeContests bytes.
TIMES = {"time_limit": "s", "time_limit_seconds": "s", "time_limit_ms": "ms", "timeout": "s"}
MEMORIES = {"memory_limit": "mb", "memory_limit_mb": "mb", "memory_limit_bytes": "b"}
# Above these a plain number is in another unit than its field's.
_LONGEST, _LARGEST = 600.0, 1 << 40
# Fields that change a verdict -> the values that ask for nothing. A form honours some of them.
KNOWN: dict[str, tuple[Any, ...]] = {
    "fn_name": (),
    "func_name": (),
    "test_imports": (),
    "test_setup_code": (),
    "atol": (0,),
    "interaction_format": (),
    "interactive": (False,),
    "interactor": (),
    "input_mode": ("stdio",),
    "input_file": ("stdin",),
    "output_file": ("stdout",),
}
_CHECKERS = ("checker", "generated_checker")
_RULES: tuple[Rule, ...] = get_args(Rule)


def with_requirements(row: Row, form: Form, tests: Tests) -> Tests:
    """The tests of a row with its limits, its special judge and its rule of comparison.

    Raises SeedbedError for a field that is known to matter and that nothing here follows.
    """
    for field, nothing in KNOWN.items():
        value = row.get(field)
        if value and value not in nothing and field not in form.honours:
            raise SeedbedError(
                f"Problem {row['task_id']!r} has {field} = {value!r:.60}, which the form "
                f"{form.name} does not follow.",
                f"Leave the problem out, or take {field} from its row if it does not matter.",
            )
    tests = replace(in_language(row, tests), limits=own_limits(row))
    checker, rule = _checker(row), row.get("comparison")
    if rule is not None and rule not in _RULES:
        raise SeedbedError(
            f"Problem {row['task_id']!r} has comparison = {rule!r:.60}.",
            f"Give one of {', '.join(_RULES)}.",
        )
    if isinstance(tests, StdioTests):
        return replace(tests, checker=checker, rule=rule or tests.rule)
    if checker or rule:
        raise SeedbedError(
            f"Problem {row['task_id']!r} has a checker or a comparison, but no stdin and stdout.",
            "Give such problems `inputs` and `outputs` without fn_name.",
        )
    return tests


def _checker(row: Row) -> str:
    """The source of a row's special judge; empty where it has none."""
    for field in _CHECKERS:
        source = row.get(field)
        if not source:
            continue
        if not _is_python(source):
            raise SeedbedError(
                f"Problem {row['task_id']!r} has a {field} that is not Python.",
                "Give a checker in Python (seedbed/sandbox/checker.py), or leave the problem out.",
            )
        return str(source)
    return ""


def _is_python(source: Any) -> bool:
    # A lone #include is a comment to Python.
    return isinstance(source, str) and bool(python_source.body(source))


def own_limits(row: Row) -> OwnLimits:
    """The limits of a row; each 0 where the row has none.

    Raises SeedbedError for a limit that cannot be read.
    """
    time = _limit(row, TIMES, _SECONDS, _LONGEST)
    return OwnLimits(time, int(_limit(row, MEMORIES, _BYTES, _LARGEST)))


def _limit(row: Row, fields: dict[str, str], units: dict[str, float], most: float) -> float:
    for field, unit in fields.items():
        value = row.get(field)
        if value is None or value in ("", "None"):
            continue
        found = _amount(value, unit, units)
        # CodeContests writes 0 where it does not know the limit.
        if found == 0:
            continue
        if found is None or not 0 < found <= most:
            raise SeedbedError(
                f"Problem {row['task_id']!r} has {field} = {value!r:.60}.",
                f"Give {field} in its unit ({unit}), as a number or with a unit like '2 s'.",
            )
        return found
    return 0.0


def _amount(value: Any, unit: str, units: dict[str, float]) -> float | None:
    if isinstance(value, dict):
        # A protobuf Duration, as in CodeContests.
        parts = value.get("seconds") or 0, value.get("nanos") or 0
        if not all(isinstance(part, int | float) for part in parts):
            return None
        return float(parts[0]) + parts[1] / 1e9
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) * units[unit]
    match = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in units:
        return None
    try:
        return float(match[1]) * units[match[2].lower() or unit]
    except ValueError:
        return None
