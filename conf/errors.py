"""Errors that a user can act on.

Every entry point runs under `run_cli`. So a user reads one clear message, and never a traceback.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

_GOES_ON = "what is committed stays, and the same command goes on from it"
# Errors of the operating system about a path that a user chose, and what helps. Any other OSError
# is a fault of ours.
_PATH_FAULTS = {
    errno.ENOSPC: f"free space there or choose another output=; {_GOES_ON}",
    errno.EDQUOT: f"raise the quota or choose another output=; {_GOES_ON}",
    errno.EROFS: "choose another output=, on a file system that can be written",
    errno.EACCES: "give this user the right to it, or choose another path",
}


class SeedbedError(Exception):
    """A fault in the user's input, settings or machine.

    problem: the value and the rule that it breaks, in one or two sentences.
    fix: what to type or change.
    """

    def __init__(self, problem: str, fix: str):
        super().__init__(problem, fix)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.problem}\n  fix: {self.fix}"


def run_cli(main: Callable[[list[str]], int | None], argv: list[str] | None = None) -> None:
    """Run `main(argv)` and exit with what it returns, or with 0 for None.

    Exits with 2 for a SeedbedError and for a full or closed disk, and with 130 when interrupted.
    SEEDBED_TRACEBACK=1 shows the traceback of these, for developers.
    """
    try:
        code = main(sys.argv[1:] if argv is None else argv) or 0
    except SeedbedError as error:
        if os.environ.get("SEEDBED_TRACEBACK") == "1":
            raise
        print(f"error: {error}", file=sys.stderr, flush=True)
        code = 2
    except OSError as error:
        fix = _PATH_FAULTS.get(error.errno or 0)
        if fix is None or os.environ.get("SEEDBED_TRACEBACK") == "1":
            raise
        where = f": {error.filename}" if error.filename else ""
        print(f"error: {error.strerror}{where}\n  fix: {fix}", file=sys.stderr, flush=True)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
