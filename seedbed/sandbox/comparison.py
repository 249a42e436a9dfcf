"""Compares what a program printed with what it should have printed, as a data set's judge does.

Pure functions of two texts. The rules:
- "exact": the texts are equal.
- "decimals": LiveCodeBench (lcb_runner/evaluation/testing_util.py, grade_stdio). Both texts are
  stripped and cut into lines, which are stripped. There must be as many lines, and each pair is
  equal as texts, or equal as lists of exact decimal numbers: 2 and 2.0 agree.
- "tokens": Codeforces' judges and open-r1 (its checker-less problems). Where lines end does not
  matter. Each pair of tokens must agree.
- "words": as "tokens", without regard to the case of letters (CodeContests).
- "lines": rows that name no judge. Lines matter, as what they hold may be a picture. Blank lines,
  and the amount of blanks within a line, do not. Each pair of tokens must agree.

Two tokens agree if they are equal, or are equal numbers. Where one is written as a float (with a
point or an exponent), they may differ by rounding, and by more where the expected one is. Whole
numbers never may, so 10**17 and 10**17 + 1 differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from seedbed.sandbox.verdict import Outcome, Rule

# Codeforces' usual tolerance, absolute or relative, for problems that ask for real numbers.
TOLERANCE = 1e-6
# What doubles lose over a long computation, relative to the value.
ROUNDING = 1e-9
# Characters of a line that a reason shows.
_SHOWN = 100
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def judge_case(
    accepted: Sequence[str], rule: Rule, any_answer: bool, printed: str
) -> tuple[Outcome, str]:
    """The outcome for a case with these right outputs: that of the first, unless another one fits.

    any_answer: whether the problem takes other answers as well. No output is then wrong, so what
    fits none is "unsupported".
    """
    found = [judge_output(expected, rule, printed) for expected in accepted]
    right = next((each for each in found if each[0] == "pass"), None)
    if right or not any_answer:
        return right or found[0]
    return (
        "unsupported",
        f"the problem takes any of several answers, without a checker; {found[0][1]}",
    )


def judge_output(expected: str, rule: Rule, printed: str) -> tuple[Outcome, str]:
    """The outcome, "pass" or "fail", and for a failure what differs first."""
    if rule == "exact":
        wanted, got = expected.split("\n"), printed.split("\n")
        same = str.__eq__
    elif rule == "decimals":
        wanted, got = _stripped_lines(expected), _stripped_lines(printed)
        same = _equal_decimals
    elif rule in ("tokens", "words"):
        fold = str.casefold if rule == "words" else str
        wanted, got = fold(expected).split(), fold(printed).split()
        same = tokens_agree
    else:
        wanted, got = _filled_lines(expected), _filled_lines(printed)
        same = _lines_agree
    for at, (want, given) in enumerate(zip(wanted, got, strict=False)):
        if want != given and not same(want, given):
            return "fail", _difference(rule, at, wanted, got)
    if len(wanted) != len(got):
        return "fail", _difference(rule, min(len(wanted), len(got)), wanted, got)
    return "pass", ""


def tokens_agree(wanted: str, got: str) -> bool:
    """Whether two tokens are equal, as texts or as numbers."""
    if wanted == got:
        return True
    # A number in figures that Decimal also reads, such as Arabic ones or 1_0, is another text.
    if not (_NUMBER.fullmatch(wanted) and _NUMBER.fullmatch(got)):
        return False
    try:
        want, have = Decimal(wanted), Decimal(got)
    except InvalidOperation:
        # An exponent of twenty digits, which no Decimal holds.
        return False
    if want == have:
        return True
    if not set(wanted + got) & set(".eE"):
        return False
    try:
        size, error = abs(float(want)), abs(float(have) - float(want))
    except OverflowError:
        return False
    if not set(wanted) & set(".eE"):
        # 1.9999999999 for a 2 is what a right computation in doubles may print.
        return error <= min(TOLERANCE, ROUNDING * max(1.0, size))
    return error <= _allowed(size, want)


def _allowed(size: float, wanted: Decimal) -> float:
    """The error that an expected float grants.

    The relative tolerance alone would grant 1.2 on 1234567.89. So it is not more than half of the
    last printed digit, where that and what doubles lose are above the absolute tolerance.
    """
    exponent = wanted.as_tuple().exponent
    half_digit = 0.5 * 10.0 ** min(int(exponent), 300)
    return min(TOLERANCE * max(1.0, size), max(TOLERANCE, half_digit, ROUNDING * size))


def _lines_agree(wanted: str, got: str) -> bool:
    want, have = wanted.split(), got.split()
    return len(want) == len(have) and all(map(tokens_agree, want, have))


def _equal_decimals(wanted: str, got: str) -> bool:
    try:
        return [Decimal(token) for token in wanted.split()] == [
            Decimal(token) for token in got.split()
        ]
    except InvalidOperation:
        return False


def _stripped_lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _filled_lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def _difference(rule: Rule, at: int, wanted: list[str], got: list[str]) -> str:
    shown = [repr(part[at][:_SHOWN]) if at < len(part) else "nothing" for part in (wanted, got)]
    unit = "token" if rule in ("tokens", "words") else "line"
    return f"{unit} {at + 1}: expected {shown[0]}, got {shown[1]}"
