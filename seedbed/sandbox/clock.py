"""Time limits of one run, watched by the supervisor.

CPU seconds decide. The wall clock catches programs that sleep.
"""

from __future__ import annotations

import math
import os
import select
import time

from seedbed.sandbox.verdict import Limits

# The wall limit grows by the time in which no CPU was free, up to this many times its length.
_MOST_STRETCH = 10


class Clock:
    """The time limits of one run: CPU time of each process, and the wall clock.

    pids: the jail's, then the tester's where there is one.

    The kernel's own RLIMIT_CPU counts whole seconds by sampling. It is set to twice the limit and
    serves as a second net. Seconds in which the processes waited for a CPU do not count as wall
    time.
    """

    def __init__(self, limits: Limits, pids: list[int]):
        self._limits, self._pids, self._start = limits, pids, time.monotonic()
        # What a tester used for the programs before this one. A jail is always new.
        self._cpu_before = sum(map(_cpu_seconds, pids[1:]))
        self._starved_before = sum(map(_run_queue_seconds, pids[1:]))
        # Says which limit was passed. Empty until then.
        self.expired = ""

    def wait(self, descriptors: list[int]) -> list[int]:
        """Waits until a descriptor can be read or is closed, and gives all such descriptors.

        Gives none when a limit is passed.
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
        # Most runs end before this, without a question to the kernel.
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
            _cpu_seconds(pid) - (self._cpu_before if number > 0 else 0.0)
            for number, pid in enumerate(self._pids)
        ]

    def _starved(self) -> float:
        starved = sum(map(_run_queue_seconds, self._pids)) - self._starved_before
        return min(starved, (_MOST_STRETCH - 1) * self._limits.wall_seconds)


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process and its threads; 0 once it is gone.

    Source: the process's own clock, whose id clock_getcpuclockid(3) derives from the pid.
    """
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def _run_queue_seconds(pid: int) -> float:
    """Seconds in which a process was ready to run but had no CPU: of the thread that waited most.

    Source: the second field of /proc/PID/task/TID/schedstat, in nanoseconds.
    """
    waited = [0.0]
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", "rb", buffering=0) as file:
                waited.append(int(file.read().split()[1]) / 1e9)
    except (OSError, IndexError):
        # It has ended; what was read until then counts.
        return max(waited)
    return max(waited)


def over_cpu(limits: Limits, who: str) -> str:
    """The reason for a program, or for tests, that used more than the CPU limit."""
    return f"{who} used more than {limits.cpu_seconds:g} s of CPU time"
