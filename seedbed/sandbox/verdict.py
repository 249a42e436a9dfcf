"""What goes into the sandbox and what comes out: Limits, tests, Job, Verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from conf.errors import SeedbedError

Isolation = Literal["full", "rlimits-only"]
Outcome = Literal[
    "pass", "fail", "error", "timeout", "memory", "output", "forbidden", "infrastructure"
]
OUTCOMES: tuple[Outcome, ...] = (
    "pass",
    "fail",
    "error",
    "timeout",
    "memory",
    "output",
    "forbidden",
    "infrastructure",
)


@dataclass(frozen=True)
class Limits:
    """What one program may use; its tester has the same limits.

    Defaults fit HumanEval and MBPP with ample room.
    """

    # the limit that decides: it does not depend on the machine's load
    cpu_seconds: float = 5.0
    # backstop for programs that sleep; time spent waiting for a CPU does not count
    wall_seconds: float = 15.0
    # address space beyond the bare interpreter's
    memory_bytes: int = 512 << 20
    # stdout of a script, or one returned value
    output_bytes: int = 8 << 20
    program_bytes: int = 1 << 20
    threads: int = 32
    # a problem whose reference needs long allows its programs this many times as long
    reference_factor: float = 10.0

    def check(self) -> None:
        """Raise SeedbedError for a limit that is not positive."""
        for name, value in vars(self).items():
            if not value > 0:
                raise SeedbedError(
                    f"Sandbox limit {name} = {value} must be above 0.",
                    f"Set {name} to a positive number.",
                )


@dataclass(frozen=True)
class CallTests:
    """Test code that calls the program's functions. Names it does not define itself are the
    program's.

    setup: trusted helpers and imports, run before the tests on the trusted side.
    names: built-in names that mean the program's function all the same (a task that asks for its
    own `sum`).
    """

    code: str
    setup: str = ""
    names: tuple[str, ...] = ()


# (relative path, text)
Files = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ProjectTests:
    """Test files with the command that runs them, for a program of several files.

    The command is `python -m unittest [module ...]` or `python FILE [argument ...]`. The test files
    stay in the tester; what they import from the program are stand-ins for what lives in the jail
    (inside/project.py).

    given: files that every program gets; a program's own replace them.
    target: the file that a program given as one text is; empty where it must bring files.
    in_process: run the tests in the program's own process instead, and believe its exit status. For
    commands that sealed tests
        cannot serve. A program can forge this verdict, which is stamped so (Verdict.weakened).
    """

    files: Files
    command: tuple[str, ...]
    given: Files = ()
    target: str = ""
    in_process: bool = False


@dataclass(frozen=True)
class StdioTests:
    """Cases for a program that reads stdin and writes stdout. Output matches when all lines do,
    trailing blanks aside.

    Each case is a run of its own: limits are per case, cpu_seconds of the verdict is their sum.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


Tests = CallTests | StdioTests | ProjectTests


@dataclass(frozen=True)
class Job:
    """One program to judge.

    reference: a program known to solve the problem. It is judged first, once per sandbox, and the
    CPU limit of the programs is
        the greater of their own and Limits.reference_factor times what it used. Where it does not
        pass, no program can be judged.
    """

    task_id: str | int
    program: str | Files
    tests: Tests
    # None: the sandbox's own
    limits: Limits | None = None
    reference: str | Files = ""


@dataclass(frozen=True)
class Verdict:
    """The outcome of one job.

    pass: every test held. fail: a wrong answer. error: the program raised, exited or crashed.
    timeout, memory, output: over that limit. forbidden: ended by something that no program may do.
    infrastructure: our fault, after retries: no verdict on the program, never to be counted as a
    wrong answer.
    """

    task_id: str | int
    verdict: Outcome
    # printable text, at most 500 characters; empty for a pass
    reason: str
    # of the program, not of its tests
    cpu_seconds: float
    wall_seconds: float
    # peak resident size of the program's process, ~25 MB of it the shared interpreter
    max_rss_bytes: int
    # that it was held to
    cpu_limit_seconds: float = 0.0
    # "" or, joined by "+", what makes this verdict weaker: "rlimits-only", "in-process-tests"
    weakened: str = ""


def is_plain_path(path: str) -> bool:
    """Whether a path is relative, of ordinary parts and printable: one that a jail may create."""
    parts = path.split("/")
    return (
        path.isprintable()
        and len(path) <= 200
        and all(part not in ("", ".", "..") for part in parts)
    )
