"""Command lines of programs that have flags: `--name VALUE` and `name=VALUE` mean the same."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

NOTE = "Each --flag VALUE may also be written as flag=VALUE, such as seed=2 for --seed 2."


def flag_parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for `parse_flags`, whose --help says that key=value works too."""
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=NOTE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def parse_flags(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parses `argv`, where name=VALUE stands for --name VALUE if the parser has that flag.

    Underscores in the name stand for hyphens. Any other key=value is left for the parser's
    positional arguments and for flags that take several values.
    """
    flags, others = [], []
    for item in argv:
        name, equals, value = item.partition("=")
        flag = "--" + name.replace("_", "-")
        if equals and flag in parser._option_string_actions:
            flags.append(f"{flag}={value}")
        else:
            others.append(item)
    # The flags go first, because argparse takes positional arguments only where they stand
    # together.
    return parser.parse_args([*flags, *others])
