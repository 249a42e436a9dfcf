"""Errors that a user can act on.

Every entry point runs under `run_cli`. So a user reads one clear message, and never a traceback.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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


def disk_fault(error: BaseException, where: str | Path = "") -> SeedbedError | None:
    """What a user can do about a full or closed disk; None for any other error.

    Libraries wrap the system's error, or keep its words alone. where: the path that was written to,
    which Python names only where a file could not be opened.
    """
    cause: BaseException | None = error
    while cause is not None:
        for code, fix in _PATH_FAULTS.items():
            known = cause.errno == code if isinstance(cause, OSError) else False
            if known or os.strerror(code) in str(cause) or _cut_short(cause, code):
                path = getattr(cause, "filename", None) or where
                said = os.strerror(code)
                return SeedbedError(f"{said}: {path}" if path else said, fix)
        cause = cause.__cause__ or cause.__context__
    return None


def _cut_short(error: BaseException, code: int) -> bool:
    """Whether numpy says how many bytes it could not write; it loses the number of the error."""
    words = ("requested and", "Not enough free space")
    return (
        code == errno.ENOSPC
        and isinstance(error, OSError)
        and error.errno is None
        and any(word in str(error) for word in words)
    )


@contextmanager
def disk_faults(where: str | Path) -> Iterator[None]:
    """Turns a full or closed disk under `where` into a SeedbedError."""
    try:
        yield
    except SeedbedError:
        raise
    except Exception as error:
        fault = disk_fault(error, where)
        if fault is None:
            raise
        raise fault from error


def run_cli(main: Callable[[list[str]], int | None], argv: list[str] | None = None) -> None:
    """Run `main(argv)` and exit with what it returns, or with 0 for None.

    Exits with 2 for a SeedbedError and for a full or closed disk, and with 130 when interrupted.
    SEEDBED_TRACEBACK=1 shows the traceback of these, for developers.
    """
    try:
        code = main(sys.argv[1:] if argv is None else argv) or 0
    except (SeedbedError, OSError) as error:
        fault = disk_fault(error) if isinstance(error, OSError) else error
        if fault is None or os.environ.get("SEEDBED_TRACEBACK") == "1":
            raise
        print(f"error: {fault}", file=sys.stderr, flush=True)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
