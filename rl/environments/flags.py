"""The flags by which a program is told an environment."""

from __future__ import annotations

import argparse

from conf.schema.rl import EnvironmentConfig


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --environment, --turns and --visible-tests."""
    parser.add_argument(
        "--environment",
        default="single",
        help="single, mend (run the visible tests, mend), or MODULE.FUNCTION of your own",
    )
    parser.add_argument("--turns", type=int, default=1, help="answers per sample at most")
    parser.add_argument(
        "--visible-tests", type=int, default=1, help="tests of a problem that a model may see"
    )


def of_flags(args: argparse.Namespace, length: int) -> EnvironmentConfig:
    """The environment that the flags ask for.

    length: tokens of the model's sequences, which bound an episode.

    Raises SeedbedError for an unknown environment, and where two turns do not fit.
    """
    cfg = EnvironmentConfig(
        name=args.environment,
        max_turns=args.turns,
        visible_tests=args.visible_tests,
        max_context=length if args.turns > 1 else 0,
    )
    cfg.check(args.max_tokens)
    return cfg
