"""Errors a user can act on.

Every entry point runs under `run_cli`, so a user reads one clear message, never a traceback.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

# What the operating system says of a place that a user chose, and what helps. Any other OSError is
# a fault of ours.
_PLACE_FAULTS = {
    errno.ENOSPC: "free space there or choose another output=; what is committed stays, and the same command goes on from it",
    errno.EDQUOT: "raise the quota or choose another output=; what is committed stays, and the same command goes on from it",
    errno.EROFS: "choose another output=, on a file system that can be written",
    errno.EACCES: "give this user the right to it, or choose another place",
}


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
    """Run `main(argv)` and exit: 0 or its return value, 2 for a SeedbedError or a full or closed
    disk, 130 when interrupted.

    SEEDBED_TRACEBACK=1 lets the traceback of these through, for developers.
    """
    try:
        code = main(sys.argv[1:] if argv is None else argv) or 0
    except SeedbedError as error:
        if os.environ.get("SEEDBED_TRACEBACK") == "1":
            raise
        print(f"error: {error}", file=sys.stderr, flush=True)
        code = 2
    except OSError as error:
        fix = _PLACE_FAULTS.get(error.errno or 0)
        if fix is None or os.environ.get("SEEDBED_TRACEBACK") == "1":
            raise
        where = f": {error.filename}" if error.filename else ""
        print(f"error: {error.strerror}{where}\n  fix: {fix}", file=sys.stderr, flush=True)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
