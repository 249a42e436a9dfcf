"""Command lines of programs that have flags: `--name VALUE` and `name=VALUE` mean the same."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from conf.errors import SeedbedError
from conf.loader import nearest_key

# The last line of the help of a program that parses with `parse_flags`.
KEY_VALUE_HELP = "Every flag may also be written as key=value: max_tokens=9 for --max-tokens 9."


def flags_from_words(parser: argparse.ArgumentParser, argv: Iterable[str]) -> list[str]:
    """Rewrites the `key=value` words of a command line as the flags of `parser`.

    `max_tokens=9` becomes `--max-tokens=9`, and `dry_run=true` becomes `--dry-run`. Flags and
    their values stay as they are. A subcommand's words become flags of its own parser. Words that
    name no flag are left to the positional arguments of `parser`, and stand before the flags, as
    argparse wants them in one piece.

    Raises SeedbedError for a switch that is neither true nor false, and for an unknown key where
    `parser` has no positional arguments.
    """
    words = list(argv)
    flags: list[str] = []
    free: list[str] = []
    while words:
        word = words.pop(0)
        if word == "--":
            return [*flags, "--", *free, *words]
        subcommand = _subparsers(parser).get(word)
        if subcommand is not None:
            return [*free, *flags, word, *flags_from_words(subcommand, words)]
        if word.startswith("-"):
            flags.append(word)
            flags += _values_of(parser, word, words)
            continue
        key, equals, value = word.partition("=")
        known = _as_flag(parser, key, value) if equals else None
        if known is None:
            free.append(word)
        else:
            flags += known
    return [*free, *flags]


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._get_positional_actions():
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _values_of(parser: argparse.ArgumentParser, flag: str, words: list[str]) -> list[str]:
    """Takes from `words`, in place, the values of a flag that was given without `=`."""
    known = parser._option_string_actions
    # argparse takes a flag that is cut short, too.
    near = [known[flag]] if flag in known else [known[k] for k in known if k.startswith(flag)]
    values: list[str] = []
    if near and near[0].nargs != 0:
        several = near[0].nargs in ("*", "+")
        while words and not words[0].startswith("-") and (several or not values):
            values.append(words.pop(0))
    return values


def _as_flag(parser: argparse.ArgumentParser, key: str, value: str) -> list[str] | None:
    """The flag that `key=value` stands for. None: no flag, but maybe a positional argument."""
    known = parser._option_string_actions
    flag = "--" + key.replace("_", "-")
    if flag not in known:
        if parser._get_positional_actions():
            return None
        names = [name[2:].replace("-", "_") for name in known if name.startswith("--")]
        raise SeedbedError(
            f"unknown key {key} (from command line: {key}={value})", nearest_key(key, names)
        )
    if known[flag].nargs != 0:
        return [f"{flag}={value}"]
    if value.lower() not in ("true", "false"):
        raise SeedbedError(f"{key}={value} is neither true nor false", f"write {key}=true")
    return [flag] if value.lower() == "true" else []


def flag_parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for `parse_flags`, whose --help says that key=value works too."""
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=KEY_VALUE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def parse_flags(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parses `argv`, where name=VALUE stands for --name VALUE if the parser has that flag."""
    return parser.parse_args(flags_from_words(parser, argv))
