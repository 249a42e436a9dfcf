"""Tests that call one function, or one method of a class Solution, with stored arguments.

The program's side of a call is an adapter in the jail, so that only plain values pass. A class
Solution gets a new instance for each call, as on LeetCode.
"""

from __future__ import annotations

import json
from typing import Any

from seedbed.sandbox.checks.prelude import CONTEST
from seedbed.sandbox.verdict import CallTests

# A case: positional arguments, keyword arguments, and the right answers, of which any will do.
Case = tuple[list[Any], dict[str, Any], list[Any]]

_ADAPTER = """
def _answer(given, named):
    scope = globals()
    holder = scope.get("Solution")
    if hasattr(holder, {name!r}):
        return getattr(holder(), {name!r})(*given, **named)
    if {name!r} not in scope:
        raise NameError("the program defines no function %s" % {name!r})
    return scope[{name!r}](*given, **named)
"""

# The answers are JSON values, so a tuple counts as a list (LiveCodeBench, APPS and TACO allow it,
# too). JSON's keys are texts.
_SETUP = """
import json as _json
import math as _math
import sys as _sys

# Cases may hold numbers of any length.
_sys.set_int_max_str_digits(0)
_LISTS, _NUMBERS = (list, tuple), (int, float)
_CLOSE = {close!r}


def _same(got, want):
    if type(want) in _LISTS:
        return type(got) in _LISTS and len(got) == len(want) and all(map(_same, got, want))
    if type(want) is dict and type(got) is dict:
        texts = {{str(key): value for key, value in got.items()}}
        want = {{str(key): value for key, value in want.items()}}
        return texts.keys() == want.keys() and all(_same(texts[key], want[key]) for key in want)
    if got == want:
        return True
    if type(got) in _NUMBERS and type(want) is float:
        return _math.isclose(got, want, rel_tol=_CLOSE, abs_tol=_CLOSE)
    return False
"""
_CODE = """
for _given, _named, _wants in _json.loads({cases!r}):
    _got = _answer(_given, _named)
    assert any(_same(_got, _want) for _want in _wants), (_given or _named, _got, _wants[0])
"""


def calls(name: str, cases: list[Case], close: float) -> CallTests:
    """Tests of the function `name`.

    close: how far a float may be from the answer, absolutely or relatively; 0 for not at all.
    """
    return CallTests(
        _CODE.format(cases=json.dumps(cases)),
        _SETUP.format(close=close),
        prelude=CONTEST,
        adapter=_ADAPTER.format(name=name),
    )
