"""One fork server and the run of one job at a time on it.

Turns what happened into a verdict; retries what was our fault.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import time
from dataclasses import dataclass, replace
from typing import Any

from conf.errors import SeedbedError
from seedbed.sandbox.clock import Clock, over_cpu
from seedbed.sandbox.inside import wire
from seedbed.sandbox.inside.decoder import Decoder
from seedbed.sandbox.inside.lockdown import CHANNELS
from seedbed.sandbox.reference import UNFIT, References, scaled
from seedbed.sandbox.server import Ended, Server, ServerLost
from seedbed.sandbox.verdict import (
    OUTCOMES,
    CallTests,
    Files,
    Isolation,
    Job,
    Limits,
    Outcome,
    ProjectTests,
    StdioTests,
    Verdict,
    is_plain_path,
)

_ATTEMPTS = 3
# seconds between a jail's closed channel and its end as a process
_GRACE = 1.0
_REPORT_BYTES = 1 << 14
# of all a program's files: each may be an inode
_PATH_PARTS = 1000


@dataclass(frozen=True)
class _Finding:
    """A verdict on one run, before the task id."""

    outcome: Outcome
    reason: str
    cpu: float = 0.0
    rss: int = 0
    # for infrastructure: whether another attempt may help
    retry: bool = True


@dataclass
class _Tester:
    """A running tester: what it was made for, our end of its channel, and how many programs it has
    judged.
    """

    tests: CallTests | ProjectTests
    limits: Limits
    channel: socket.socket
    judged: int = 0

    def serves(self, tests: CallTests | ProjectTests, limits: Limits) -> bool:
        """Whether it may judge under these limits too. Time is watched run by run: what it was
        allowed when it judged the reference does for the programs.
        """
        own = self.limits
        same = (
            replace(own, cpu_seconds=limits.cpu_seconds, wall_seconds=limits.wall_seconds) == limits
        )
        return self.tests == tests and same and own.cpu_seconds >= limits.cpu_seconds


class Worker:
    """Judges jobs one by one. Not thread-safe: one thread a worker."""

    def __init__(self, limits: Limits, isolation: Isolation, references: References):
        self._limits, self._isolation, self._references = limits, isolation, references
        self._tester: _Tester | None = None
        self.server: Server | None = Server(isolation)

    def close(self) -> None:
        self._forget_tester()
        if self.server is not None:
            self.server.close()
            self.server = None

    def run(self, job: Job) -> Verdict:
        """The verdict on a job.

        Never raises for anything that a program, or the loss of a process, can cause.
        """
        limits = job.limits or self._limits
        if not job.reference:
            return self._judge(job, limits)
        reference = self._references.verdict(job, limits, self._judge)
        if (
            job.program == job.reference or reference.verdict == "infrastructure"
            # an outage says nothing of the problem
        ):
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
        reason = (
            finding.reason.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:500]
        )
        wall = time.monotonic() - started
        in_process = isinstance(job.tests, ProjectTests) and job.tests.in_process
        weakened = [self._isolation] * (self._isolation != "full") + [
            "in-process-tests"
        ] * in_process
        return Verdict(
            job.task_id,
            finding.outcome,
            reason,
            round(finding.cpu, 6),
            round(wall, 6),
            finding.rss,
            round(limits.cpu_seconds, 6),
            "+".join(weakened),
        )

    def _attempt(self, job: Job, limits: Limits) -> _Finding:
        texts = [job.program] if isinstance(job.program, str) else [text for _, text in job.program]
        size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        if size > limits.program_bytes:
            return _Finding(
                "error", f"the program has {size:,} bytes; the limit is {limits.program_bytes:,}"
            )
        program = _whole(job)
        if isinstance(program, _Finding):
            return program
        try:
            self.server = self.server or Server(self._isolation)
            if isinstance(job.tests, StdioTests):
                return self._cases(self.server, str(program), job.tests, limits)
            if isinstance(job.tests, ProjectTests) and self._isolation != "full":
                return _Finding(
                    "infrastructure",
                    "a project needs a file system of its own: namespaces",
                    retry=False,
                )
            if isinstance(job.tests, ProjectTests) and job.tests.in_process:
                program = (*program, *job.tests.files)  # type: ignore[assignment]
                return self._script(self.server, (program, job.tests.command), "", None, limits)
            return self._calls(self.server, program, job.tests, limits)
        except (ServerLost, SeedbedError, OSError) as error:
            self.close()
            return _Finding("infrastructure", str(error))

    def _calls(
        self, server: Server, program: str | Files, tests: CallTests | ProjectTests, limits: Limits
    ) -> _Finding:
        """Jail and tester; the tester reports.

        The tester stays for the next program that has the same tests.
        """
        tester = self._tester_for(server, tests, limits)
        used = tester.judged > 0
        tester.judged += 1
        pids = server.spawn([], op="calls", output_bytes=limits.output_bytes, **_for_child(limits))
        clock = Clock(limits, [pids["jail"], pids["tester"]])
        report = None
        try:
            wire.send(tester.channel.fileno(), wire.frame(1 << 30, program))
            if clock.wait([tester.channel.fileno()]):
                report = _report(tester.channel.fileno())
        except BrokenPipeError:
            # it has ended: the reaping says how
            pass
        fit = report is not None and report[0] != "memory"
        jail, *ended = server.reap(
            _GRACE if report is not None and report[0] == "gone" else 0, tester=not fit
        )
        if not fit:
            self._forget_tester()
            if used and not clock.expired.startswith("the program"):
                # never blame a program for what others have left
                return self._calls(server, program, tests, limits)
        outcome, reason = _judge_calls(jail, ended, report, limits, clock)
        if outcome == "unsupported":
            return _Finding("infrastructure", reason, jail.cpu, jail.rss, retry=False)
        return _Finding(outcome, reason, jail.cpu, jail.rss)

    def _tester_for(
        self, server: Server, tests: CallTests | ProjectTests, limits: Limits
    ) -> _Tester:
        old = self._tester
        if old is not None and old.judged < CHANNELS and old.serves(tests, limits):
            return old
        if old is not None:
            self._forget_tester()
            server.reap(0, tester=True)
        ours, theirs = socket.socketpair()
        self._tester = _Tester(tests, limits, ours)
        with theirs:
            allowed = {
                **_for_child(limits),
                "cpu_seconds": CHANNELS * math.ceil(2 * limits.cpu_seconds),
            }
            server.spawn(
                [theirs.fileno()], op="tester", output_bytes=limits.output_bytes, **allowed
            )
        if isinstance(tests, CallTests):
            parts: tuple[Any, ...] = ("calls", tests.setup, tests.code, tests.names)
        else:
            parts = ("project", tests.files, tests.command, None)
        wire.send(ours.fileno(), wire.frame(1 << 30, *parts))
        return self._tester

    def _forget_tester(self) -> None:
        if self._tester is not None:
            self._tester.channel.close()
            self._tester = None

    def _cases(self, server: Server, program: str, tests: StdioTests, limits: Limits) -> _Finding:
        """A jail a case, until one is not a pass."""
        cpu, rss = 0.0, 0
        for number, (given, expected) in enumerate(zip(tests.inputs, tests.outputs, strict=True)):
            found = self._script(server, program, given, expected, limits)
            cpu, rss = cpu + found.cpu, max(rss, found.rss)
            if found.outcome != "pass":
                return _Finding(found.outcome, f"case {number}: {found.reason}", cpu, rss)
        if not tests.inputs:
            return _Finding("fail", "the problem has no cases")
        return _Finding("pass", "", cpu, rss)

    def _script(
        self, server: Server, program: Any, given: str, expected: str | None, limits: Limits
    ) -> _Finding:
        """One run of a script.

        expected: what it must print; None: its exit status is all that counts.
        """
        channel, theirs = socket.socketpair()
        stdout, writer = os.pipe()
        try:
            with channel:
                with theirs:
                    pids = server.spawn(
                        [theirs.fileno(), writer], op="script", **_for_child(limits)
                    )
                os.close(writer)
                writer = -1
                clock = Clock(limits, [pids["jail"]])
                stdin = given.encode("utf-8", "surrogatepass")
                wire.send(channel.fileno(), wire.frame(1 << 30, program, stdin))
                printed, said = _drain(clock, stdout, channel.fileno(), limits.output_bytes)
                over = len(printed) > limits.output_bytes
                (jail,) = server.reap(0 if clock.expired or over else _GRACE, tester=False)
        finally:
            os.close(stdout)
            if writer >= 0:
                os.close(writer)
        verdict, reason = _judge_script(jail, printed, said, expected, limits, clock)
        return _Finding(verdict, reason, jail.cpu, jail.rss)


def _whole(job: Job) -> str | Files | _Finding:
    """What the jail gets: a text, or for a project all files of which none is a folder of another."""
    if not isinstance(job.tests, ProjectTests):
        return (
            job.program
            if isinstance(job.program, str)
            else _Finding("error", "files where a text is asked for")
        )
    own = job.program
    if isinstance(own, str):
        own = ((job.tests.target, own),)
    files = {**dict(job.tests.given), **dict(own)}
    for path in files:
        if not is_plain_path(path):
            return _Finding(
                "error", f"the program has a file {path!r:.100}, not a plain relative path"
            )
        if any(parent in files for parent in _parents(path)):
            return _Finding("error", f"the program has a file {path!r:.100} below another file")
    if sum(path.count("/") + 1 for path in files) > _PATH_PARTS:
        return _Finding("error", f"the program has more than {_PATH_PARTS} files and folders")
    return tuple(files.items())


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _for_child(limits: Limits) -> dict[str, int]:
    return {
        "memory_bytes": limits.memory_bytes,
        "cpu_seconds": math.ceil(2 * limits.cpu_seconds),
        "threads": limits.threads,
    }


def _report(descriptor: int) -> tuple[str, str] | None:
    """The tester's (verdict, reason), or None if it ended without one."""
    try:
        verdict, reason = Decoder(wire.receive(descriptor, 1 << 20)).values(2)
    except (EOFError, wire.Malformed):
        return None
    known = verdict in OUTCOMES or verdict in ("gone", "unsupported")
    return (verdict, reason) if known and type(reason) is str else None


def _judge_calls(
    jail: Ended, tester: list[Ended], report: tuple[str, str] | None, limits: Limits, clock: Clock
) -> tuple[Any, str]:
    """Verdict on a call program.

    The tester's word stands, unless a limit or a death says otherwise.
    """
    if clock.expired:
        return "timeout", clock.expired
    if report is None:
        outcome, reason = _death(tester[0], limits, "the tests")
        # a tester that vanished says nothing of the program
        return ("infrastructure" if outcome == "error" else outcome), reason
    if report[0] == "gone":
        return _death(jail, limits, "the program")
    if report[0] == "pass" and jail.cpu > limits.cpu_seconds:
        return "timeout", over_cpu(limits, "the program")
    return report


def _death(end: Ended, limits: Limits, who: str) -> tuple[Outcome, str]:
    """Verdict on a process that ended before its answer."""
    if end.ours:
        return "error", f"{who} closed the channel"
    if os.WIFEXITED(end.status):
        return "error", f"{who} ended the process with exit code {os.WEXITSTATUS(end.status)}"
    number = os.WTERMSIG(end.status)
    if number == signal.SIGSYS:
        return "forbidden", f"{who} made a system call that no program may make"
    if number != signal.SIGKILL:
        return "error", f"{who} crashed with {signal.Signals(number).name}"
    if end.cpu > limits.cpu_seconds:
        return "timeout", over_cpu(limits, who)
    return (
        "infrastructure",
        f"{who} was killed from outside (the host's out-of-memory killer, or by hand)",
    )


def _drain(clock: Clock, stdout: int, channel: int, cap: int) -> tuple[bytes, bytes]:
    """Read stdout and the jail's reports until both close, stdout passes `cap` bytes or the time is
    up.
    """
    got = {stdout: bytearray(), channel: bytearray()}
    open_ends = [stdout, channel]
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


def _judge_script(
    jail: Ended, printed: bytes, said: bytes, expected: str | None, limits: Limits, clock: Clock
) -> tuple[Outcome, str]:
    """Verdict on one case.

    `said` is the jail's word on why it ended: it can colour a failure, never make a pass.
    """
    if said[:4] != b"\0\0\0\0":
        return "infrastructure", "the jail could not be set up"
    if len(printed) > limits.output_bytes:
        return "output", f"printed more than {limits.output_bytes:,} bytes"
    if clock.expired:
        return "timeout", clock.expired
    if expected is None and os.WIFEXITED(jail.status) and jail.status and b"raise" not in said:
        return "fail", f"the test command exits with {os.WEXITSTATUS(jail.status)}"
    if jail.status != 0:
        return _script_failure(jail, said, limits)
    if jail.cpu > limits.cpu_seconds:
        return "timeout", over_cpu(limits, "the program")
    if expected is None:
        return "pass", ""
    want, have = _lines(expected), _lines(printed.decode("utf-8", "replace"))
    if want == have:
        return "pass", ""
    at = next(
        (i for i, (a, b) in enumerate(zip(want, have, strict=False)) if a != b),
        min(len(want), len(have)),
    )
    shown = [repr(lines[at][:100]) if at < len(lines) else "nothing" for lines in (want, have)]
    return "fail", f"line {at + 1}: expected {shown[0]}, got {shown[1]}"


def _script_failure(jail: Ended, said: bytes, limits: Limits) -> tuple[Outcome, str]:
    try:
        kind, detail = Decoder(said[8:]).values(2)
        name, message, line = str(detail[1]), detail[3], detail[4]
    except (wire.Malformed, IndexError, TypeError):
        return _death(jail, limits, "the program")
    if kind != "raise" or not os.WIFEXITED(jail.status):
        return _death(jail, limits, "the program")
    outcome: Outcome = (
        "memory" if name == "MemoryError" else "forbidden" if name == "PermissionError" else "error"
    )
    return outcome, f"{name}: {message} (program line {line})"


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")] if text.strip() else []
