"""The comparison of tokens against exact fractions, and what holds for every rule."""

from __future__ import annotations

import re
from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seedbed.sandbox.comparison import judge_output, tokens_agree

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
SMALL, ROUNDING = Fraction(1, 10**6), Fraction(1, 10**9)


def last_digit(token: str) -> Fraction:
    """The value of a one at the place of the last digit that is written."""
    mantissa, _, exponent = token.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return Fraction(10) ** (int(exponent or 0) - decimals)


def plain(wanted: str, got: str) -> tuple[bool, Fraction]:
    """(whether the tokens agree, how far the error is from the bound that decides)."""
    if wanted == got:
        return True, Fraction(1)
    if not NUMBER.fullmatch(wanted) or not NUMBER.fullmatch(got):
        return False, Fraction(1)
    want, have = Fraction(wanted), Fraction(got)
    error, size = abs(have - want), abs(want)
    floats = [bool(set(token) & set(".eE")) for token in (wanted, got)]
    if error == 0 or not any(floats):
        return error == 0, Fraction(1)
    if floats[0]:
        tight = max(SMALL, last_digit(wanted) / 2, ROUNDING * size)
        bound = min(SMALL * max(1, size), tight)
    else:
        bound = min(SMALL, ROUNDING * max(1, size))
    return error <= bound, abs(error - bound) / bound


numbers = st.builds(
    lambda sign, whole, point, digits, exponent: sign + whole + point + digits + exponent,
    st.sampled_from(["", "-", "+"]),
    st.sampled_from(["0", "1", "7", "12", "999999", "1234567", "100000000000000001"]),
    st.sampled_from(["", ".", "."]),
    st.sampled_from(["", "5", "50", "000001", "0000009", "999999", "123456789"]),
    st.sampled_from(["", "", "", "e0", "e3", "E-7"]),
)
pairs = st.tuples(numbers, numbers) | numbers.flatmap(
    lambda one: st.tuples(st.just(one), st.sampled_from([f"{one}1", f"{one}0", one[:-1]]))
)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(pairs)
def test_tokens_agree_as_their_exact_fractions_do(pair: tuple[str, str]) -> None:
    agree, distance = plain(*pair)
    # Doubles decide otherwise at most at the bound itself.
    assume(distance > Fraction(1, 10**6))
    assert tokens_agree(*pair) == agree


texts = st.lists(
    st.sampled_from(["1", "1.0", "2", "YES", "yes", " ", "\n", "\t", "\r\n"]), max_size=9
).map("".join)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(texts, texts)
def test_a_stricter_rule_passes_no_more(wanted: str, got: str) -> None:
    """exact passes less than lines, lines less than tokens, tokens less than words."""
    rules = ("exact", "lines", "tokens", "words")
    passed = [judge_output(wanted, rule, got)[0] == "pass" for rule in rules]
    assert passed == sorted(passed)
    if passed[2]:
        assert len(wanted.split()) == len(got.split())
