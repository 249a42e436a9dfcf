"""Flags as key=value."""

from __future__ import annotations

import pytest

from conf.flags import flag_parser, parse_flags


def parser():
    made = flag_parser("program", "What it does.")
    made.add_argument("--model", required=True)
    made.add_argument("--max-tokens", type=int, default=1)
    made.add_argument("--layout", nargs="*", default=[])
    made.add_argument("fields", nargs="*")
    return made


@pytest.mark.parametrize(
    "argv",
    [
        ["--model", "a=b", "--max-tokens", "3", "x=1"],
        ["model=a=b", "max_tokens=3", "x=1"],
        ["x=1", "max-tokens=3", "--model=a=b"],
        ["x=1", "--max-tokens", "3", "model=a=b"],
    ],
)
def test_a_flag_and_key_value_mean_the_same(argv):
    args = parse_flags(parser(), argv)
    assert (args.model, args.max_tokens, args.fields) == ("a=b", 3, ["x=1"])


def test_values_of_a_flag_that_takes_several_stay_with_it():
    args = parse_flags(parser(), ["model=m", "--layout", "tp=2", "pp=2"])
    assert (args.layout, args.fields) == (["tp=2", "pp=2"], [])


def test_help_says_that_key_value_works(capsys):
    with pytest.raises(SystemExit):
        parse_flags(parser(), ["--help"])
    assert "flag=VALUE" in capsys.readouterr().out
