"""Errors a user can act on. Every entry point runs under `run_cli`, so a user reads one clear message, never a traceback."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable


class SeedbedError(Exception):
    """A fault in the user's input, config or machine.

    problem: the offending value and the rule it breaks, one or two sentences.
    fix: what to type or change.
    """

    def __init__(self, problem: str, fix: str):
        super().__init__(problem, fix)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.problem}\n  fix: {self.fix}"


def run_cli(main: Callable[[list[str]], int | None], argv: list[str] | None = None) -> None:
    """Run `main(argv)` and exit: 0 or its return value, 2 for a SeedbedError or a full disk, 130 when interrupted.

    SEEDBED_TRACEBACK=1 lets the traceback of a SeedbedError through, for developers.
    """
    try:
        code = main(sys.argv[1:] if argv is None else argv) or 0
    except SeedbedError as error:
        if os.environ.get("SEEDBED_TRACEBACK") == "1":
            raise
        print(f"error: {error}", file=sys.stderr, flush=True)
        code = 2
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" at {error.filename}" if error.filename else ""
        print(
            f"error: the disk is full{where}\n  fix: free some space and start again: it goes on from what is whole",
            file=sys.stderr,
        )
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
