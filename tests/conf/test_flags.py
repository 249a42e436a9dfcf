"""Flags as key=value."""

from __future__ import annotations

import argparse

import pytest

from conf.errors import SeedbedError
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
    assert "max_tokens=9 for --max-tokens 9" in capsys.readouterr().out


def parser_of_flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="test")
    parser.add_argument("--max-tokens", type=int, default=1)
    parser.add_argument("--out")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--threshold-of", action="append", default=[])
    parser.add_argument("--layout", nargs="*", default=[])
    return parser


def parse(*words: str, parser: argparse.ArgumentParser | None = None) -> argparse.Namespace:
    parser = parser or parser_of_flags()
    return parse_flags(parser, words)


def test_words_set_the_same_values_as_flags():
    assert parse("max_tokens=9", "out=a=b.json", "force=true") == parse(
        "--max-tokens", "9", "--out", "a=b.json", "--force"
    )


def test_a_word_may_stand_between_flags_and_a_later_one_wins():
    args = parse("--max-tokens=3", "out=x", "max_tokens=4", "--force")
    assert (args.max_tokens, args.out, args.force) == (4, "x", True)


def test_a_value_that_begins_with_a_dash_or_is_empty_stays_a_value():
    assert parse("out=-1").out == "-1"
    assert parse("out=").out == ""


def test_a_word_that_is_the_value_of_a_flag_is_not_rewritten():
    args = parse("--out", "max_tokens=9")
    assert (args.out, args.max_tokens) == ("max_tokens=9", 1)
    args = parse("--layout", "tp=2", "max_tokens=4", "--force")
    assert (args.layout, args.max_tokens) == (["tp=2", "max_tokens=4"], 1)
    # A flag with one value takes one word, and a switch takes none.
    args = parse("--out", "x", "--force", "max_tokens=9")
    assert (args.out, args.force, args.max_tokens) == ("x", True, 9)


def test_a_repeated_flag_can_be_repeated_as_words():
    assert parse("threshold_of=C=0.5", "threshold_of=Go=1").threshold_of == ["C=0.5", "Go=1"]


def test_a_switch_is_true_or_false():
    assert parse("force=True").force
    assert not parse("force=false").force
    with pytest.raises(SeedbedError, match="force=1 is neither true nor false"):
        parse("force=1")


def test_an_unknown_key_names_the_nearest_one():
    with pytest.raises(SeedbedError) as caught:
        parse("max_token=9")
    assert caught.value.problem == "unknown key max_token (from command line: max_token=9)"
    assert caught.value.fix == "did you mean max_tokens?"


def test_words_that_name_no_flag_are_left_to_a_positional_argument():
    parser = parser_of_flags()
    parser.add_argument("overrides", nargs="*")
    args = parse("dtype=bf16", "out=x", "a.b=1", parser=parser)
    assert (args.overrides, args.out) == (["dtype=bf16", "a.b=1"], "x")
    args = parse("dtype=bf16", "--layout", "tp=2", parser=parser)
    assert (args.overrides, args.layout) == (["dtype=bf16"], ["tp=2"])


def test_a_flag_that_is_cut_short_keeps_its_value():
    assert parse("--max", "9", "out=x").max_tokens == 9


def test_words_after_two_dashes_are_positional():
    parser = parser_of_flags()
    parser.add_argument("overrides", nargs="*")
    assert parse("--", "out=x", "-x", parser=parser).overrides == ["out=x", "-x"]


def test_words_of_a_subcommand_are_flags_of_its_own():
    parser = argparse.ArgumentParser(prog="test")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("check")
    commands.add_parser("run").add_argument("--workers", type=int)
    assert parse("run", "workers=2", parser=parser).workers == 2
    with pytest.raises(SeedbedError, match="unknown key workers"):
        parse("check", "workers=2", parser=parser)
