"""What goes into the sandbox and what comes out of it: limits, tests, jobs and verdicts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from conf.errors import SeedbedError

Isolation = Literal["full", "rlimits-only"]
Outcome = Literal[
    "pass",
    "fail",
    "error",
    "timeout",
    "memory",
    "output",
    "forbidden",
    "unsupported",
    "infrastructure",
]
OUTCOMES: tuple[Outcome, ...] = (
    "pass",
    "fail",
    "error",
    "timeout",
    "memory",
    "output",
    "forbidden",
    "unsupported",
    "infrastructure",
)


@dataclass(frozen=True)
class Limits:
    """What one program may use. Its tester has the same limits.

    The defaults are ours. They leave ample room for HumanEval and MBPP.
    """

    # CPU time of one program. It decides, because it does not depend on the machine's load.
    cpu_seconds: float = 5.0
    # Wall time, for programs that sleep. Time spent waiting for a CPU does not count.
    wall_seconds: float = 15.0
    # Address space beyond that of the bare interpreter.
    memory_bytes: int = 512 << 20
    # Bytes of a script's stdout, or of one returned value.
    output_bytes: int = 8 << 20
    # Bytes of the program's source.
    program_bytes: int = 1 << 20
    threads: int = 32
    # Programs may use this many times the CPU time of the problem's reference.
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
class OwnLimits:
    """Limits that a problem brings itself. 0 means that of the sandbox."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0

    def over(self, limits: Limits) -> Limits:
        """The sandbox's limits with these in their place."""
        cpu = self.cpu_seconds or limits.cpu_seconds
        wall = max(limits.wall_seconds, 3 * cpu)
        memory = self.memory_bytes or limits.memory_bytes
        return replace(limits, cpu_seconds=cpu, wall_seconds=wall, memory_bytes=memory)


@dataclass(frozen=True)
class CallTests:
    """Test code that calls the program's functions.

    Names that the tests do not define are the program's.

    setup: trusted helpers and imports, run before the tests on the trusted side.
    names: built-in names that mean the program's function here (a task may ask for its own `sum`).
    prelude: code that runs before the program in the program's namespace: a data set's imports.
    adapter: code that runs after it there. It brings calls and answers into plain form, so it is as
        little trusted as the program.
    quoted: the program is no code but an answer; the adapter finds its text in `_answer_text`.
    """

    code: str
    setup: str = ""
    names: tuple[str, ...] = ()
    prelude: str = ""
    adapter: str = ""
    quoted: bool = False
    limits: OwnLimits = OwnLimits()


# Pairs of a relative path and a text.
Files = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ProjectTests:
    """Test files and the command that runs them, for a program of several files.

    The command is `python -m unittest [module ...]` or `python FILE [argument ...]`. The test files
    stay in the tester. What they import from the program are stand-ins for objects that stay in the
    jail (inside/project.py).

    given: files that every program gets. A program's own files replace them.
    target: path of the file that a program of one text becomes; empty where it must bring files.
    in_process: run the tests in the program's own process, and believe its exit status. It is for
        commands that sealed tests cannot serve. A program can forge this verdict, so
        Verdict.weakened names it.
    """

    files: Files
    command: tuple[str, ...]
    given: Files = ()
    target: str = ""
    in_process: bool = False
    limits: OwnLimits = OwnLimits()


# How a printed output is compared with the expected one (seedbed/sandbox/comparison.py).
Rule = Literal["lines", "decimals", "tokens", "words", "exact"]


@dataclass(frozen=True)
class StdioTests:
    """Cases for a program that reads stdin and writes stdout.

    Each case is a run of its own. Limits hold per case; the verdict's cpu_seconds is the sum.

    rule: how the output is compared.
    checker: a Python program that decides instead (seedbed/sandbox/checker.py). Or empty.
    prelude: as in CallTests, for Python.
    language: of the programs: python, or a name of languages.LANGUAGES.
    others: for each case further outputs that are right, too; empty where no case has any.
    any_answer: whether the problem takes any of several answers, and nothing tells them. Another
        output than these is then neither right nor wrong.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rule: Rule = "lines"
    checker: str = ""
    prelude: str = ""
    limits: OwnLimits = OwnLimits()
    language: str = "python"
    others: tuple[tuple[str, ...], ...] = ()
    any_answer: bool = False

    def case(self, number: int) -> StdioTests:
        """These tests with one case alone."""
        return self._of(slice(number, number + 1))

    def first(self, count: int) -> StdioTests:
        """These tests with the first `count` cases alone."""
        return self._of(slice(count))

    def _of(self, cases: slice) -> StdioTests:
        return replace(
            self,
            inputs=self.inputs[cases],
            outputs=self.outputs[cases],
            others=self.others[cases],
        )


@dataclass(frozen=True)
class SourceTests:
    """Test code in the program's own language that stands below it in one source (MultiPL-E).

    language: a name of languages.LANGUAGES. code: what follows the program. prompt: what the
    program begins with.

    Where the code is of MultiPL-E's form it is taken apart, and no expected value enters the
    program's process (languages/sealing). Other code runs in the program's own process, and
    Verdict.weakened names that.
    """

    language: str
    code: str
    prompt: str = ""
    limits: OwnLimits = OwnLimits()


@dataclass(frozen=True)
class UnjudgedTests:
    """Tests that nothing here can judge. Each program's verdict is `unsupported`, with the reason.

    So a row that asks for such is masked, named and counted, and stops no run.
    """

    reason: str
    limits: OwnLimits = OwnLimits()


Tests = CallTests | StdioTests | ProjectTests | SourceTests | UnjudgedTests


@dataclass(frozen=True)
class Job:
    """One program to judge.

    limits: None means those of the sandbox. Those that the tests bring hold in place of both.
    reference: a program known to solve the problem. It is judged first, once per sandbox. The CPU
        limit of the programs is the greater of their own and Limits.reference_factor times what it
        used. If it does not pass, no program of the problem is judged.
    language: of the program, where it is another than that of the tests and the reference.
    """

    task_id: str | int
    program: str | Files
    tests: Tests
    limits: Limits | None = None
    reference: str | Files = ""
    language: str = ""

    @property
    def spoken(self) -> str:
        """The language of the program: python, or a name of languages.LANGUAGES."""
        own = isinstance(self.tests, StdioTests | SourceTests) and self.tests.language
        return self.language or own or "python"


@dataclass(frozen=True)
class Verdict:
    """The outcome of one job.

    pass: every test held. fail: a wrong answer. error: the program raised, exited or crashed.
    timeout, memory, output: it went over that limit. forbidden: it did what no program may do.
    unsupported: the tests ask what no sealed run can answer, such as whether an object of the
    program equals a plain value, or they are of a kind that cannot judge the program's language.
    Like infrastructure, it says nothing about the program.
    infrastructure: the fault was ours, also after retries. It says nothing about the program and
    must never count as a wrong answer.
    """

    task_id: str | int
    verdict: Outcome
    # Printable text of at most 500 characters; empty for a pass.
    reason: str
    # CPU time of the program, without its tests.
    cpu_seconds: float
    wall_seconds: float
    # Peak resident size of the program's process. About 25 MB of it are the shared interpreter.
    max_rss_bytes: int
    # The CPU limit that held for it.
    cpu_limit_seconds: float = 0.0
    # What makes this verdict weaker, joined by "+": "rlimits-only", "in-process-tests". Or empty.
    weakened: str = ""


def is_plain_path(path: str) -> bool:
    """Whether a jail may create a file at a path: relative, printable, without `.` and `..`."""
    parts = path.split("/")
    return (
        path.isprintable()
        and len(path) <= 200
        and all(part not in ("", ".", "..") for part in parts)
    )
