"""Time limits of a run, watched by the supervisor: CPU seconds decide, the wall clock is the
backstop.
"""

from __future__ import annotations

import math
import select
import time
from pathlib import Path

from seedbed.sandbox.verdict import Limits

# the wall backstop stretches at most this far for time without a CPU
_STARVED = 10


class Clock:
    """The time limits of one run: CPU of each process, and a wall-clock backstop.

    pids: the jail's, then the tester's where there is one. The kernel's own RLIMIT_CPU counts whole
    seconds by sampling, so it is set at twice the limit and left as a second net. Seconds in which
    the processes waited for a CPU do not count on the wall clock.
    """

    def __init__(self, limits: Limits, pids: list[int]):
        self._limits, self._pids, self._start = limits, pids, time.monotonic()
        # What a tester used for the programs before this one. A jail is new.
        self._cpu_before = sum(map(_cpu_seconds, pids[1:]))
        self._starved_before = sum(map(_run_queue_seconds, pids[1:]))
        # why, once a limit is passed
        self.expired = ""

    def wait(self, descriptors: list[int]) -> list[int]:
        """The descriptors that can be read or are closed, as soon as there is one; none when a
        limit is passed.
        """
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
        # most runs: no need to ask the kernel
        if soonest > 0:
            return soonest
        cpu = max(self._cpu())
        wall = spent - self._starved()
        return max(0.005, min(self._limits.cpu_seconds - cpu, self._limits.wall_seconds - wall))

    def _look(self) -> None:
        for cpu, who in zip(self._cpu(), ("the program", "the tests"), strict=False):
            if cpu > self._limits.cpu_seconds:
                self.expired = over_cpu(self._limits, who)
                return
        if time.monotonic() - self._start - self._starved() > self._limits.wall_seconds:
            self.expired = f"no end within {self._limits.wall_seconds:g} s of wall-clock time"

    def _cpu(self) -> list[float]:
        """CPU seconds of the jail and of the tester, if there is one, in this run."""
        return [
            _cpu_seconds(pid) - (place and self._cpu_before) for place, pid in enumerate(self._pids)
        ]

    def _starved(self) -> float:
        starved = sum(map(_run_queue_seconds, self._pids)) - self._starved_before
        return min(starved, (_STARVED - 1) * self._limits.wall_seconds)


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process and its threads, by its own clock (clock_getcpuclockid(3)); 0 once it
    is gone.
    """
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def _run_queue_seconds(pid: int) -> float:
    """Time a process has been ready to run but had no CPU: second field of /proc/PID/schedstat,
    nanoseconds.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def over_cpu(limits: Limits, who: str) -> str:
    """The reason for a program or tests that passed the CPU limit."""
    return f"{who} used more than {limits.cpu_seconds:g} s of CPU time"
