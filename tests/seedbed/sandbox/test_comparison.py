"""What is right under each rule. The numbers were worked out by hand."""

from __future__ import annotations

import pytest

from seedbed.sandbox.comparison import judge_output, tokens_agree


@pytest.mark.parametrize(
    ("wanted", "got", "same"),
    [
        ("0.333333333333", "0.333333333", True),
        ("0.333333333333", "0.33333", False),
        ("0.333333333333", "3.33333333e-1", True),
        ("2.0", "2", True),
        ("2", "2.0", True),
        ("2", "2.0000001", False),
        ("2", "1.9999999999", True),
        ("2000000000", "2000000000.9", False),
        ("100000000000000000", "100000000000000001", False),
        ("1e17", "100000000000000001", True),
        # A millionth of the value would grant 1.2; half of the last digit is 0.005.
        ("1234567.89", "1234567.893", True),
        ("1234567.89", "1234567.899", False),
        ("1234567.89", "1234567.896", False),
        # Doubles lose 123 of it, which is more than half of a digit.
        ("123456789012.25", "123456789100.25", True),
        ("123456789012.25", "123456789250.25", False),
        # A millionth of the value, as the one digit would grant 0.05.
        ("100.0", "100.00005", True),
        ("100.0", "100.0002", False),
        ("100.00000000", "100.00005", False),
        ("0.5", "0.5000009", True),
        ("0.5", "0.5000015", False),
        # A whole number grants what doubles lose, and never over a millionth.
        ("500", "500.0000003", True),
        ("500", "500.0000008", False),
        ("5000", "5000.000002", False),
        ("0", "5E-10", True),
        ("0", "1e-9", True),
        ("0", "1.5e-9", False),
        ("0.0", "0.000001", True),
        ("-0.0000001", "0", True),
        ("0.00001", "0", False),
        ("007", "7", True),
        ("+5", "5", True),
        ("1_0", "10", False),
        ("\u0661", "1", False),
        ("nan", "NaN", False),
        ("inf", "1e999", False),
        ("1e999", "2e999", False),
        ("1e400", "10e399", True),
        ("abc", "ABC", False),
        ("0x10", "16", False),
        (".5", "0.5", True),
        ("5.", "5", True),
    ],
)
def test_tokens_agree_as_texts_or_numbers(wanted: str, got: str, same: bool) -> None:
    assert tokens_agree(wanted, got) is same


@pytest.mark.parametrize(
    ("rule", "wanted", "got", "said"),
    [
        ("lines", "1 2\n3\n", "1  2\r\n\n3", ""),
        ("lines", " 1 2\n", "1 2", ""),
        ("lines", "1 2\n3\n", "1 2 3", "line 1: expected '1 2', got '1 2 3'"),
        ("lines", "1\n2", "1", "line 2: expected '2', got nothing"),
        ("lines", "1", "1\n2", "line 2: expected nothing, got '2'"),
        ("lines", "0.50", "0.5000001", ""),
        ("tokens", "1 2\n3\n", "1\n2 3", ""),
        ("tokens", "YES 1", "Yes 1", "token 1: expected 'YES', got 'Yes'"),
        ("words", "YES 1.5", "yes 1.5000001", ""),
        ("decimals", "2 3\n", "2.0 3.00", ""),
        ("decimals", "\n 2\n3 \n", "2\n 3", ""),
        ("decimals", "2\n\n3", "2\n3", "line 2: expected '', got '3'"),
        ("decimals", "0.5", "0.5000001", "line 1: expected '0.5', got '0.5000001'"),
        ("decimals", "a b", "a  b", "line 1: expected 'a b', got 'a  b'"),
        ("exact", "a b\n", "a b\n", ""),
        ("exact", "a b\n", "a b", "line 2: expected '', got nothing"),
        ("exact", "1.0", "1", "line 1: expected '1.0', got '1'"),
        ("lines", "1 2", "1 3", "line 1: expected '1 2', got '1 3'"),
        ("tokens", "1 2", "1", "token 2: expected '2', got nothing"),
        ("lines", "ab\n" + "x" * 101, "ab\ny", f"line 2: expected '{'x' * 100}', got 'y'"),
    ],
)
def test_each_rule_says_what_differs(rule, wanted: str, got: str, said: str) -> None:
    assert judge_output(wanted, rule, got) == ("fail" if said else "pass", said)
