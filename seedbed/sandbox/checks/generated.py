"""Tests that run a reference program beside the one to judge, and compare their answers.

Inputs come from a seeded generator. The reference and the generator run in the tester, which is
confined like a jail. The program receives the inputs alone.
"""

from __future__ import annotations

from seedbed.sandbox.verdict import CallTests

# The answers of codeio are JSON values (its input_output_spec), so a tuple counts as a list.
# Numbers may differ by rounding, because the order of the arithmetic may. A bool is not a number.
_GENERATED = """
import copy as _copy
import math as _math
import random as _random

_scope = {{"__name__": "reference"}}
exec(compile({reference!r}, "<reference>", "exec"), _scope)
_reference = _scope[{entry!r}]
_generator = {{**_scope, "__name__": "generator", "Random": _random.Random, "random": _random}}
exec(compile({generator!r}, "<generator>", "exec"), _generator)
_generate = _generator["generate_inputs"]
_NUMBERS, _LISTS = (int, float), (list, tuple)


def _same(got, want):
    if type(want) in _LISTS:
        return type(got) in _LISTS and len(got) == len(want) and all(map(_same, got, want))
    if type(want) is dict:
        if type(got) is not dict or got.keys() != want.keys():
            return False
        return all(_same(got[key], want[key]) for key in want)
    if type(want) in _NUMBERS and type(got) in _NUMBERS:
        if got == want or (got != got and want != want):
            return True
        if float not in (type(got), type(want)):
            return False
        return _math.isclose(got, want, rel_tol=1e-6, abs_tol=1e-9)
    return type(got) is type(want) and got == want


def _cases(count, seed):
    rng, found = _random.Random(seed), 0
    # Inputs that the reference itself refuses are drawn again.
    for _ in range(4 * count):
        given = _generate(rng)
        try:
            want = _reference(**_copy.deepcopy(given))
        except Exception:
            continue
        yield given, want
        found += 1
        if found == count:
            return
    raise ValueError("the reference answers only %d of %d generated inputs" % (found, 4 * count))
"""
_GENERATED_CASES = """
for _given, _want in _cases({cases!r}, {seed!r}):
    _got = {entry}(**_copy.deepcopy(_given))
    assert _same(_got, _want), (_given, _got, _want)
"""


def differential(reference: str, generator: str, entry: str, cases: int, seed: int) -> CallTests:
    """Tests on `cases` inputs from the generator's `generate_inputs(rng: Random) -> dict`.

    The inputs are keyword arguments, and depend on the generator and the seed alone.
    """
    setup = _GENERATED.format(reference=reference, generator=generator, entry=entry)
    return CallTests(_GENERATED_CASES.format(entry=entry, cases=cases, seed=seed), setup, (entry,))
