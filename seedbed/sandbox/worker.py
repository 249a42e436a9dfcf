"""Runs one job at a time on a fork server of its own: owns the processes and the clock.

`judge.py` turns what came back into a verdict. A run that failed through no fault of the program is
repeated.
"""

from __future__ import annotations

import math
import os
import re
import socket
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from conf.errors import SeedbedError
from seedbed.sandbox import absent, checker, comparison, judge, languages
from seedbed.sandbox.clock import Clock
from seedbed.sandbox.inside import wire
from seedbed.sandbox.inside.lockdown import CHANNELS
from seedbed.sandbox.interpreter import Interpreter
from seedbed.sandbox.judge import CallRun, Finding, ScriptRun
from seedbed.sandbox.languages.commands import Commands, RunCase
from seedbed.sandbox.languages.compilations import Compilations
from seedbed.sandbox.reference import UNFIT, References, scaled
from seedbed.sandbox.server import ForkServer, ServerLost
from seedbed.sandbox.submission import (
    Refused,
    answer_bytes,
    named_classes,
    submission,
    texts_of,
    wants_files,
)
from seedbed.sandbox.verdict import (
    CallTests,
    Files,
    Isolation,
    Job,
    Limits,
    ProjectTests,
    StdioTests,
    Verdict,
)

_ATTEMPTS = 3
# Words of tests that change what surrounds a program, or look into it. A sealed run may then fail
# where a plain one would not.
_REACHING = re.compile(
    r"\b(mock|patch|monkeypatch|globals|inspect|modules|tempfile|open|gc|weakref|getsource|signal|"
    r"subprocess|importlib|__builtins__|builtins|settrace|getrefcount|pickle|threading|asyncio)\b"
)
# What a mock stands for in the program's place, the sealed run may see in another way.
_MOCKING = re.compile(r"\b(mock|patch|monkeypatch)\b")
# Seconds that a jail gets to end by itself after it has closed its channel.
_GRACE = 1.0
# Bytes of a jail's report that are read. An honest report is a few hundred bytes long.
_REPORT_BYTES = 1 << 14
# Bytes of a frame that we send. A program's own limit is checked before.
_FRAME_BYTES = 1 << 30


@dataclass
class _Tester:
    """A running tester.

    tests, classes, limits: what it was started with. channel: our end of its socket.
    judged: programs that it was given so far.
    """

    tests: CallTests | ProjectTests
    classes: tuple[str, ...] | None
    limits: Limits
    channel: socket.socket
    judged: int = 0

    def serves(
        self, tests: CallTests | ProjectTests, classes: tuple[str, ...] | None, limits: Limits
    ) -> bool:
        """Whether it may judge a program of these tests under these limits.

        The time limits may be lower than its own: the clock watches them in each run. So the tester
        that judged the reference also judges the programs.
        """
        own = self.limits
        same = (
            replace(own, cpu_seconds=limits.cpu_seconds, wall_seconds=limits.wall_seconds) == limits
        )
        asked = (self.tests, self.classes) == (tests, classes)
        return asked and same and own.cpu_seconds >= limits.cpu_seconds


@dataclass(frozen=True)
class Shared:
    """What the workers of a sandbox know together."""

    references: References
    compilations: Compilations


class Worker:
    """Judges jobs one by one. It is not thread-safe: give each worker one thread."""

    def __init__(
        self,
        limits: Limits,
        isolation: Isolation,
        interpreter: Interpreter,
        shared: Shared,
    ):
        self._limits, self._isolation, self._interpreter = limits, isolation, interpreter
        self._references = shared.references
        self._commands = Commands(isolation, shared.compilations, _drain)
        self._tester: _Tester | None = None
        self.server: ForkServer | None = ForkServer(isolation, interpreter)

    def close(self) -> None:
        """End the fork servers and everything below them."""
        self._commands.close()
        self._forget_tester()
        if self.server is not None:
            self.server.close()
            self.server = None

    def run(self, job: Job) -> Verdict:
        """The verdict on a job.

        Never raises for anything that a program, or the loss of a process, can cause.
        """
        limits = job.tests.limits.over(job.limits or self._limits)
        if not job.reference:
            return self._judge(job, limits)
        reference = self._references.verdict(job, limits, self._judge)
        # An outage while the reference ran says nothing about the problem. Nor do tests that cannot
        # judge the reference say anything about the program.
        if job.program == job.reference or reference.verdict in ("infrastructure", "unsupported"):
            return replace(reference, task_id=job.task_id)
        if reference.verdict != "pass":
            reason = f"{UNFIT}: {reference.verdict}: {reference.reason}"[:500]
            return replace(reference, task_id=job.task_id, verdict="infrastructure", reason=reason)
        return self._judge(job, scaled(limits, reference))

    def _judge(self, job: Job, limits: Limits) -> Verdict:
        started = time.monotonic()
        for _ in range(_ATTEMPTS):
            finding = self._attempt(job, limits)
            if finding.outcome != "infrastructure" or not finding.retry:
                break
        wall = time.monotonic() - started
        finding = absent.told(finding, job.tests, self._interpreter)
        return judge.verdict(job, finding, limits, wall, self._isolation)

    def _attempt(self, job: Job, limits: Limits) -> Finding:
        reason = languages.unjudged(job.tests, job.spoken)
        if reason:
            return Finding("unsupported", reason)
        try:
            program = submission(job, limits)
        except Refused as error:
            return Finding("error", str(error))
        if isinstance(job.tests, ProjectTests) and self._isolation != "full":
            reason = "a project needs a file system of its own: namespaces"
            return Finding("infrastructure", reason, retry=False)
        if isinstance(job.tests, StdioTests):
            # Output as long as the expected one is no fault.
            longest = max(map(len, job.tests.outputs), default=0)
            limits = replace(limits, output_bytes=max(limits.output_bytes, 2 * longest))
        try:
            server = self.server = self.server or ForkServer(self._isolation, self._interpreter)
            if job.spoken != "python":
                cases = partial(self._run_cases, server)
                return self._commands.attempt(job, str(program), limits, cases)
            if isinstance(job.tests, StdioTests):
                return self._run_cases(
                    server,
                    job.tests,
                    lambda *case: self._run_script(server, str(program), *case, limits),
                )
            if isinstance(job.tests, ProjectTests) and job.tests.in_process:
                files = (*program, *job.tests.files)
                return self._run_script(server, (files, job.tests.command), "", None, limits)
            return self._run_calls(server, program, job, limits)
        except (ServerLost, SeedbedError, OSError) as error:
            self.close()
            return Finding("infrastructure", str(error))

    def _run_calls(
        self, server: ForkServer, program: str | Files, job: Job, limits: Limits
    ) -> Finding:
        """Runs a program sealed, and also beside its tests where the sealed run cannot decide."""
        tests: Any = job.tests
        sealed = self._run_sealed(server, program, tests, named_classes(job), limits)
        if not isinstance(tests, CallTests):
            return sealed
        if sealed.outcome == "pass" and _MOCKING.search(tests.code + tests.setup):
            sealed = replace(sealed, met=True)
        reach = _REACHING.search(tests.code + tests.setup)
        if reach and not sealed.blind and sealed.outcome in ("fail", "error"):
            sealed = replace(sealed, blind=f"the tests use {reach[0]}, which may reach the program")
        if not judge.needs_witness(sealed):
            return sealed
        beside = self._run_plain(server, str(program), tests, limits)
        found = judge.both(sealed, beside)
        return replace(found, cpu=max(sealed.cpu, beside.cpu), rss=max(sealed.rss, beside.rss))

    def _run_plain(
        self, server: ForkServer, program: str, tests: CallTests, limits: Limits
    ) -> Finding:
        """Runs a program and its tests in one process, in a jail of their own."""
        channel, theirs = socket.socketpair()
        with channel:
            with theirs:
                child = _for_child(limits, wants_files(program, *texts_of(tests)))
                pids = server.spawn([theirs.fileno()], op="plain", **child)
            clock = Clock(limits, [pids["jail"]])
            parts = (program, tests.setup, tests.code, tests.names)
            wire.send(channel.fileno(), wire.frame(_FRAME_BYTES, *parts))
            _, report = _drain(clock, -1, channel.fileno(), 0)
            (jail,) = server.reap(0 if clock.expired else _GRACE, tester=False)
        return judge.plain(ScriptRun(jail, b"", report, clock.expired), limits)

    def _run_sealed(
        self,
        server: ForkServer,
        program: str | Files,
        tests: CallTests | ProjectTests,
        classes: tuple[str, ...] | None,
        limits: Limits,
    ) -> Finding:
        """Runs a program in a jail while a tester calls its functions and reports.

        classes: names of classes that the problem asks for, if its reference tells. The tester
        stays for the next program that has the same tests.
        """
        tester = self._tester_for(server, tests, classes, limits)
        used = tester.judged > 0
        tester.judged += 1
        child = _for_child(limits, wants_files(program, *texts_of(tests)))
        pids = server.spawn([], op="calls", output_bytes=answer_bytes(tests, limits), **child)
        clock = Clock(limits, [pids["jail"], pids["tester"]])
        report = None
        try:
            wire.send(tester.channel.fileno(), wire.frame(_FRAME_BYTES, program))
            if clock.wait([tester.channel.fileno()]):
                report = _receive_report(tester.channel.fileno())
        except BrokenPipeError:
            # The tester has ended. Its exit status says how.
            pass
        healthy = report is not None and report.outcome != "memory"
        grace = _GRACE if report is not None and report.outcome == "gone" else 0
        jail, *others = server.reap(grace, tester=not healthy)
        if not healthy:
            self._forget_tester()
            if used and not clock.expired.startswith("the program"):
                # What earlier programs left in this tester may be the cause. A new one decides.
                return self._run_sealed(server, program, tests, classes, limits)
        run = CallRun(jail, others[0] if others else None, report, clock.expired)
        return judge.calls(run, limits)

    def _tester_for(
        self,
        server: ForkServer,
        tests: CallTests | ProjectTests,
        classes: tuple[str, ...] | None,
        limits: Limits,
    ) -> _Tester:
        old = self._tester
        if old is not None and old.judged < CHANNELS and old.serves(tests, classes, limits):
            return old
        if old is not None:
            self._forget_tester()
            server.reap(0, tester=True)
        ours, theirs = socket.socketpair()
        self._tester = _Tester(tests, classes, limits, ours)
        with theirs:
            allowed = {
                **_for_child(limits, files=wants_files("", *texts_of(tests))),
                "cpu_seconds": CHANNELS * math.ceil(2 * limits.cpu_seconds),
            }
            answers = answer_bytes(tests, limits)
            server.spawn([theirs.fileno()], op="tester", output_bytes=answers, **allowed)
        if isinstance(tests, CallTests):
            parts: tuple[Any, ...] = ("calls", tests.setup, tests.code, tests.names, classes)
        else:
            parts = ("project", tests.files, tests.command, None, None)
        wire.send(ours.fileno(), wire.frame(_FRAME_BYTES, *parts))
        return self._tester

    def _forget_tester(self) -> None:
        if self._tester is not None:
            self._tester.channel.close()
            self._tester = None

    def _run_cases(self, server: ForkServer, tests: StdioTests, run: RunCase) -> Finding:
        """Runs a program once per case, each in a new jail, until a case ends in a failure."""
        cpu, rss, open_case = 0.0, 0, ""
        for number, given in enumerate(tests.inputs):
            found = run(given, self._decider(server, tests, number))
            cpu, rss = cpu + found.cpu, max(rss, found.rss)
            if found.outcome not in ("pass", "unsupported"):
                return Finding(found.outcome, f"case {number}: {found.reason}", cpu, rss)
            if found.outcome == "unsupported":
                open_case = open_case or f"case {number}: {found.reason}"
        if not tests.inputs:
            return Finding("fail", "the problem has no cases")
        return Finding("unsupported" if open_case else "pass", open_case, cpu, rss)

    def _decider(self, server: ForkServer, tests: StdioTests, number: int) -> judge.Decide:
        """How the output of one case is judged: by the tests' rule, or by their checker."""
        given, expected = tests.inputs[number], tests.outputs[number]
        if not tests.checker:
            accepted = (expected, *(tests.others[number] if tests.others else ()))
            return partial(comparison.judge_case, accepted, tests.rule, tests.any_answer)

        def run(stdin: str) -> Finding:
            # The checker has the sandbox's limits, since the problem's own are the program's.
            return self._run_script(server, checker.SCRIPT, stdin, checker.read, self._limits)

        return partial(checker.judge_output, run, (tests.checker, given, expected))

    def _run_script(
        self,
        server: ForkServer,
        program: Any,
        given: str,
        decide: judge.Decide | None,
        limits: Limits,
    ) -> Finding:
        """Runs a script once, with `given` as its stdin.

        decide: judges what it printed. None: its exit status alone decides.
        """
        own, command = (program, ()) if isinstance(program, str) else program
        channel, theirs = socket.socketpair()
        stdout, writer = os.pipe()
        try:
            with channel:
                with theirs:
                    child = _for_child(limits, wants_files(own, *command))
                    pids = server.spawn([theirs.fileno(), writer], op="script", **child)
                os.close(writer)
                writer = -1
                clock = Clock(limits, [pids["jail"]])
                stdin = given.encode("utf-8", "surrogatepass")
                wire.send(channel.fileno(), wire.frame(_FRAME_BYTES, program, stdin))
                printed, report = _drain(clock, stdout, channel.fileno(), limits.output_bytes)
                over = len(printed) > limits.output_bytes
                (jail,) = server.reap(0 if clock.expired or over else _GRACE, tester=False)
        finally:
            os.close(stdout)
            if writer >= 0:
                os.close(writer)
        return judge.script(ScriptRun(jail, printed, report, clock.expired), decide, limits)


def _for_child(limits: Limits, files: bool) -> dict[str, int]:
    """The limits that the kernel enforces on a child, as a request names them.

    files: whether the child may write temporary files.

    The kernel counts CPU time by sampling, so its limit is twice ours and only a second net.
    """
    return {
        "memory_bytes": limits.memory_bytes,
        "cpu_seconds": math.ceil(2 * limits.cpu_seconds),
        "threads": limits.threads,
        "files": files,
    }


def _receive_report(descriptor: int) -> judge.Report | None:
    """The tester's report; None if the tester ended without one."""
    try:
        return judge.read_report(wire.receive(descriptor, 1 << 20))
    except (EOFError, wire.TooBig):
        return None


def _drain(clock: Clock, stdout: int, channel: int, cap: int) -> tuple[bytes, bytes]:
    """Reads stdout and the jail's report.

    Ends when both are closed, when stdout passes `cap` bytes, or when the time is up.
    """
    got = {stdout: bytearray(), channel: bytearray()}
    open_ends = [end for end in (stdout, channel) if end >= 0]
    while open_ends and len(got[stdout]) <= cap:
        for descriptor in clock.wait(open_ends):
            try:
                data = os.read(descriptor, 1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                open_ends.remove(descriptor)
            elif descriptor == stdout or len(got[channel]) < _REPORT_BYTES:
                got[descriptor] += data
        if clock.expired:
            break
    return bytes(got[stdout]), bytes(got[channel])
