"""One fork server and the run of one job at a time on it. Turns what happened into a verdict; retries what was our fault."""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from conf.errors import SeedbedError
from rl.sandbox.inside import wire
from rl.sandbox.server import Ended, Server, ServerLost
from rl.sandbox.verdict import OUTCOMES, CallTests, Job, Limits, Outcome, StdioTests, Verdict

_ATTEMPTS = 3
_GRACE = 1.0  # seconds between a jail's closed channel and its end as a process
_STARVED = 10  # the wall backstop stretches at most this far for time without a CPU
_REPORT_BYTES = 1 << 14


@dataclass(frozen=True)
class _Finding:
    """A verdict on one run, before the task id."""

    outcome: Outcome
    reason: str
    cpu: float = 0.0
    rss: int = 0
    retry: bool = True  # for infrastructure: whether another attempt may help


class Worker:
    """Judges jobs one by one. Not thread-safe: one thread a worker."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self.server: Server | None = Server()

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None

    def run(self, job: Job) -> Verdict:
        """The verdict on a job. Never raises for anything that a program, or the loss of a process, can cause."""
        started = time.monotonic()
        limits = job.limits or self._limits
        for _ in range(_ATTEMPTS):
            finding = self._attempt(job, limits)
            if finding.outcome != "infrastructure" or not finding.retry:
                break
        reason = finding.reason.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:500]
        wall = time.monotonic() - started
        return Verdict(job.task_id, finding.outcome, reason, round(finding.cpu, 6), round(wall, 6), finding.rss)

    def _attempt(self, job: Job, limits: Limits) -> _Finding:
        size = len(job.program.encode("utf-8", "surrogatepass"))
        if size > limits.program_bytes:
            return _Finding("error", f"the program has {size:,} bytes; the limit is {limits.program_bytes:,}")
        try:
            self.server = self.server or Server()
            if isinstance(job.tests, CallTests):
                return self._calls(self.server, job.program, job.tests, limits)
            return self._cases(self.server, job.program, job.tests, limits)
        except (ServerLost, SeedbedError, OSError) as error:
            self.close()
            return _Finding("infrastructure", str(error))

    def _calls(self, server: Server, program: str, tests: CallTests, limits: Limits) -> _Finding:
        """Jail and tester; the tester reports."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                pids = server.spawn(
                    [theirs.fileno()], op="calls", output_bytes=limits.output_bytes, **_for_child(limits)
                )
            clock = _Clock(limits, pids)
            wire.send(ours.fileno(), wire.frame(1 << 30, program, tests.setup, tests.code, tests.names))
            report: tuple[str, str] | None = None
            if clock.wait([ours.fileno()]):
                try:
                    report = _report(wire.receive(ours.fileno(), 1 << 20))
                except EOFError:
                    report = None
            jail, tester = server.reap(_GRACE if report and report[0] == "gone" else 0)
        verdict, reason = (
            report or _death(tester, limits, "the tests") if not clock.expired else ("timeout", clock.expired)
        )
        if report is None and verdict == "error":  # a tester that vanished says nothing of the program
            verdict = "infrastructure"
        if verdict == "gone":
            verdict, reason = _death(jail, limits, "the program")
        if verdict == "unsupported":
            return _Finding("infrastructure", reason, jail.cpu, jail.rss, retry=False)
        if verdict == "pass" and jail.cpu > limits.cpu_seconds:
            verdict, reason = "timeout", _over_cpu(limits, "the program")
        return _Finding(verdict, reason, jail.cpu, jail.rss)

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

    def _script(self, server: Server, program: str, given: str, expected: str, limits: Limits) -> _Finding:
        channel, theirs = socket.socketpair()
        stdout, writer = os.pipe()
        try:
            with channel:
                with theirs:
                    pids = server.spawn([theirs.fileno(), writer], op="script", **_for_child(limits))
                os.close(writer)
                writer = -1
                clock = _Clock(limits, pids)
                stdin = given.encode("utf-8", "surrogatepass")
                wire.send(channel.fileno(), wire.frame(1 << 30, program, stdin))
                printed, said = _drain(clock, stdout, channel.fileno(), limits.output_bytes)
                over = len(printed) > limits.output_bytes
                (jail,) = server.reap(0 if clock.expired or over else _GRACE)
        finally:
            os.close(stdout)
            if writer >= 0:
                os.close(writer)
        verdict, reason = _judge_script(jail, printed, said, expected, limits, clock)
        return _Finding(verdict, reason, jail.cpu, jail.rss)


class _Clock:
    """The time limits of one run: CPU of each process, and a wall-clock backstop.

    The kernel's own RLIMIT_CPU counts whole seconds by sampling, so it is set at twice the limit and left as a second net.
    Seconds in which the processes waited for a CPU do not count on the wall clock.
    """

    def __init__(self, limits: Limits, pids: list[int]):
        self._limits, self._pids, self._start = limits, pids, time.monotonic()
        self.expired = ""  # why, once a limit is passed

    def wait(self, descriptors: list[int]) -> list[int]:
        """The descriptors that can be read or are closed, as soon as there is one; none when a limit is passed."""
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        while not self.expired:
            ready = poll.poll(math.ceil(1000 * self._patience()))
            if ready:
                return [descriptor for descriptor, _ in ready]
            self._look()
        return []

    def _patience(self) -> float:
        """Seconds until a limit can be passed at the soonest, 5 ms at least."""
        spent = time.monotonic() - self._start
        soonest = min(self._limits.cpu_seconds, self._limits.wall_seconds) - spent
        if soonest > 0:  # most runs: no need to ask the kernel
            return soonest
        cpu = max(map(_cpu_seconds, self._pids))
        wall = spent - self._starved()
        return max(0.005, min(self._limits.cpu_seconds - cpu, self._limits.wall_seconds - wall))

    def _look(self) -> None:
        for pid, who in zip(self._pids, ("the program", "the tests"), strict=False):
            if _cpu_seconds(pid) > self._limits.cpu_seconds:
                self.expired = _over_cpu(self._limits, who)
                return
        if time.monotonic() - self._start - self._starved() > self._limits.wall_seconds:
            self.expired = f"no end within {self._limits.wall_seconds:g} s of wall-clock time"

    def _starved(self) -> float:
        return min(sum(map(_run_queue_seconds, self._pids)), (_STARVED - 1) * self._limits.wall_seconds)


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process and its threads, by its own clock (clock_getcpuclockid(3)); 0 once it is gone."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def _run_queue_seconds(pid: int) -> float:
    """Time a process has been ready to run but had no CPU: second field of /proc/PID/schedstat, nanoseconds."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _for_child(limits: Limits) -> dict[str, int]:
    return {
        "memory_bytes": limits.memory_bytes,
        "cpu_seconds": math.ceil(2 * limits.cpu_seconds),
        "threads": limits.threads,
    }


def _report(data: bytes) -> tuple[str, str] | None:
    """The tester's (verdict, reason), or None if it is not one."""
    try:
        verdict, reason = wire.Decoder(data).values(2)
    except wire.Malformed:
        return None
    known = verdict in OUTCOMES or verdict in ("gone", "unsupported")
    return (verdict, reason) if known and type(reason) is str else None


def _over_cpu(limits: Limits, who: str) -> str:
    return f"{who} used more than {limits.cpu_seconds:g} s of CPU time"


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
        return "timeout", _over_cpu(limits, who)
    return "infrastructure", f"{who} was killed from outside (the host's out-of-memory killer, or by hand)"


def _drain(clock: _Clock, stdout: int, channel: int, cap: int) -> tuple[bytes, bytes]:
    """Read stdout and the jail's reports until both close, stdout passes `cap` bytes or the time is up."""
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
    jail: Ended, printed: bytes, said: bytes, expected: str, limits: Limits, clock: _Clock
) -> tuple[Outcome, str]:
    """Verdict on one case. `said` is the jail's word on why it ended: it can colour a failure, never make a pass."""
    if said[:4] != b"\0\0\0\0":
        return "infrastructure", "the jail could not be set up"
    if len(printed) > limits.output_bytes:
        return "output", f"printed more than {limits.output_bytes:,} bytes"
    if clock.expired:
        return "timeout", clock.expired
    if jail.status != 0:
        return _script_failure(jail, said, limits)
    if jail.cpu > limits.cpu_seconds:
        return "timeout", _over_cpu(limits, "the program")
    want, have = _lines(expected), _lines(printed.decode("utf-8", "replace"))
    if want == have:
        return "pass", ""
    at = next((i for i, (a, b) in enumerate(zip(want, have, strict=False)) if a != b), min(len(want), len(have)))
    shown = [repr(lines[at][:100]) if at < len(lines) else "nothing" for lines in (want, have)]
    return "fail", f"line {at + 1}: expected {shown[0]}, got {shown[1]}"


def _script_failure(jail: Ended, said: bytes, limits: Limits) -> tuple[Outcome, str]:
    try:
        kind, detail = wire.Decoder(said[8:]).values(2)
        name, message, line = str(detail[1]), detail[3], detail[4]
    except (wire.Malformed, IndexError, TypeError):
        return _death(jail, limits, "the program")
    if kind != "raise" or not os.WIFEXITED(jail.status):
        return _death(jail, limits, "the program")
    outcome: Outcome = "memory" if name == "MemoryError" else "forbidden" if name == "PermissionError" else "error"
    return outcome, f"{name}: {message} (program line {line})"


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")] if text.strip() else []
