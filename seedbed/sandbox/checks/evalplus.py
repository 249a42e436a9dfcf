"""EvalPlus' judgement of one answer, written for a tester.

The rules are those of EvalPlus 0.3.1 (evalplus/eval/__init__.py, unsafe_execute, and
evalplus/eval/_special_oracle.py): equality; floats within a tolerance; and a few tasks of their
own. The expected answer is the reference's, which runs in the tester.

numpy is not in a tester, so its allclose is written out here. It differs in one thing: two arrays
of different shapes are never close, where numpy would repeat the smaller one.
"""

from __future__ import annotations

from typing import Any

from seedbed.sandbox.verdict import CallTests

# numpy.allclose for nested lists and tuples of numbers. Others raise TypeError, as there.
CLOSE = """
def _shape(value):
    if isinstance(value, (list, tuple)):
        inner = {_shape(item) for item in value}
        if len(inner) > 1:
            raise ValueError("rows of different lengths")
        return (len(value), *(inner.pop() if inner else ()))
    if not isinstance(value, (bool, int, float, complex)):
        raise TypeError("no number: %r" % type(value).__name__)
    return ()


def _flat(value):
    if not isinstance(value, (list, tuple)):
        return [value]
    return [number for item in value for number in _flat(item)]


def _allclose(got, want, rtol=1e-05, atol=1e-08, equal_nan=False):
    if _shape(got) != _shape(want):
        return False
    for a, b in zip(_flat(got), _flat(want)):
        same = a == b or (equal_nan and a != a and b != b)
        # An infinity is close to itself alone.
        finite = abs(a) != float("inf") and abs(b) != float("inf")
        if not same and not (finite and abs(a - b) <= atol + rtol * abs(b)):
            return False
    return True
"""

_SETUP = """
import copy as _copy
import math as _math

nan, inf = float("nan"), float("inf")
_scope = {{"__name__": "reference"}}
exec(compile({reference!r}, "<reference>", "exec"), _scope)
_reference = _scope[{entry!r}]
_ENTRY, _MBPP, _HUMANEVAL = {entry!r}, {mbpp!r}, {humaneval!r}
_SETS = {{
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff",
}}
_NOT_NONE = {{"check_str", "text_match_three", "text_starta_endb"}}


def _floats(value):
    if isinstance(value, (list, tuple)):
        return len(value) > 0 and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _surface(base_edge, height):
    # Mbpp/581: the pyramid's height may also be read as the distance of the apex from the base.
    slant = _math.sqrt((base_edge / 2) ** 2 + height**2)
    return round(base_edge**2 + 2 * base_edge * slant)


def _digits(first, second):
    # Mbpp/558: the shorter number may also be filled up with zeros.
    first, second = str(first), str(second)
    size = max(len(first), len(second))
    pairs = zip(first.zfill(size), second.zfill(size))
    return sum(abs(int(a) - int(b)) for a, b in pairs)


def _exact(got, want, given, atol):
    if not _MBPP:
        return got == want
    if _ENTRY in _SETS:
        return set(got) == set(want)
    if _ENTRY in _NOT_NONE:
        if isinstance(got, bool):
            return got == want
        return want == (got is not None)
    if got == want or _ENTRY == "are_equivalent":
        return True
    if _ENTRY == "sum_div":
        return got == 0
    if _ENTRY == "surface_Area":
        return abs(got - _surface(*given)) <= atol
    return _ENTRY == "digit_distance_nums" and got == _digits(*given)


def _right(got, want, given, atol):
    if _HUMANEVAL and _ENTRY == "find_zero":
        # A root is right wherever the polynomial is near zero.
        return abs(sum(c * _math.pow(got, i) for i, c in enumerate(given[0]))) <= atol
    if _exact(got, want, given, atol):
        return True
    if atol == 0 or type(got) is not type(want):
        return False
    if isinstance(want, (list, tuple)) and len(got) != len(want):
        return False
    return _allclose(got, want, rtol=1e-07, atol=atol)
"""
# The tolerance that one float answer brings stays for the inputs after it, as in EvalPlus.
_CODE = """
_atol = {atol!r}
for _given in {inputs!r}:
    _want = _reference(*_copy.deepcopy(_given))
    if _MBPP and _ENTRY in _NOT_NONE:
        _want = _want is not None
    _got = {entry}(*_copy.deepcopy(_given))
    _special = _HUMANEVAL and _ENTRY == "find_zero"
    _near = _atol if _atol or _special or not _floats(_want) else 1e-6
    try:
        _fine = bool(_right(_got, _want, _given, _near))
    except Exception:
        _fine = False
    assert _fine, (_given, _got, _want)
    _atol = _near
"""


def tests(task: str, reference: str, entry: str, inputs: list[Any], atol: float) -> CallTests:
    """Tests on stored lists of arguments.

    task: the task's id; its first part tells HumanEval's rules from MBPP's. A task of neither has
    both, since the names of the functions do not meet.
    atol: absolute tolerance on floats; 0 means 1e-6 where floats are expected.
    """
    family = task.split("/")[0].lower()
    setup = CLOSE + _SETUP.format(
        reference=reference, entry=entry, mbpp=family != "humaneval", humaneval=family != "mbpp"
    )
    # A task may ask for its own `sum`.
    return CallTests(_CODE.format(inputs=inputs, entry=entry, atol=atol), setup, (entry,))
