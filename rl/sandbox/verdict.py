"""What goes into the sandbox and what comes out: Limits, tests, Job, Verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from conf.errors import SeedbedError

Outcome = Literal["pass", "fail", "error", "timeout", "memory", "output", "forbidden", "infrastructure"]
OUTCOMES: tuple[Outcome, ...] = ("pass", "fail", "error", "timeout", "memory", "output", "forbidden", "infrastructure")


@dataclass(frozen=True)
class Limits:
    """What one program may use; its tester has the same limits. Defaults fit HumanEval and MBPP with ample room."""

    cpu_seconds: float = 5.0  # the limit that decides: it does not depend on the machine's load
    wall_seconds: float = 15.0  # backstop for programs that sleep; time spent waiting for a CPU does not count
    memory_bytes: int = 512 << 20  # address space beyond the bare interpreter's
    output_bytes: int = 8 << 20  # stdout of a script, or one returned value
    program_bytes: int = 1 << 20
    threads: int = 32

    def check(self) -> None:
        """Raise SeedbedError for a limit that is not positive."""
        for name, value in vars(self).items():
            if not value > 0:
                raise SeedbedError(
                    f"Sandbox limit {name} = {value} must be above 0.", f"Set {name} to a positive number."
                )


@dataclass(frozen=True)
class CallTests:
    """Test code that calls the program's functions. Names it does not define itself are the program's.

    setup: trusted helpers and imports, run before the tests on the trusted side.
    names: built-in names that mean the program's function all the same (a task that asks for its own `sum`).
    """

    code: str
    setup: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class StdioTests:
    """Cases for a program that reads stdin and writes stdout. Output matches when all lines do, trailing blanks aside.

    Each case is a run of its own: limits are per case, cpu_seconds of the verdict is their sum.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """One program to judge."""

    task_id: str | int
    program: str
    tests: CallTests | StdioTests
    limits: Limits | None = None  # None: the sandbox's own


@dataclass(frozen=True)
class Verdict:
    """The outcome of one job.

    pass: every test held. fail: a wrong answer. error: the program raised, exited or crashed. timeout, memory, output: over that
    limit. forbidden: ended by something that no program may do. infrastructure: our fault, after retries: no verdict on the
    program, never to be counted as a wrong answer.
    """

    task_id: str | int
    verdict: Outcome
    reason: str  # printable text, at most 500 characters; empty for a pass
    cpu_seconds: float  # of the program, not of its tests
    wall_seconds: float
    max_rss_bytes: int  # peak resident size of the program's process, ~25 MB of it the shared interpreter
