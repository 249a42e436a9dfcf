"""What jails and testers give up before they run a line of foreign code."""

from __future__ import annotations

import fcntl
import gc
import os
import random
import signal
from dataclasses import dataclass
from functools import lru_cache

from . import rootfs, syscalls
from .kernel import landlock
from .kernel.seccomp import Filter
from .syscalls import Call

# A child's first descriptor after 0, 1 and 2.
CHANNEL = 3
# Jails that one tester serves at most. So its own start is cheap per program, and its descriptors
# stay below their limit.
CHANNELS = 8


@dataclass(frozen=True)
class Locks:
    """What the fork server prepares once and each child takes on.

    null: descriptor of /dev/null. rules: descriptor of the Landlock rule set, if there is one.
    writing_filter: the filter of a child that may write temporary files.
    memory_floor: bytes of address space of the bare fork server. Limits count what a program adds.
    alone: whether each child has a pid namespace and a user of its own. If not, RLIMIT_NPROC would
        count the threads of others.
    """

    null: int
    rules: int | None
    filter: Filter
    writing_filter: Filter
    memory_floor: int
    alone: bool


@dataclass(frozen=True)
class ChildLimits:
    """Limits that the kernel enforces on one child."""

    memory_bytes: int
    cpu_seconds: int
    threads: int
    # Whether it may write files below rootfs.TEMPORARY.
    files: bool


def lock_down(
    locks: Locks,
    limits: ChildLimits,
    keep: list[int],
    stdin: int | None = None,
    stdout: int | None = None,
    folder: str = "/",
) -> None:
    """Confine this process for good.

    keep: descriptors that become 3, 4 and so on. Descriptors 0 to 2 are /dev/null, unless stdin or
    stdout is given. All others are closed.
    folder: the working directory.

    The order matters. Landlock comes before the descriptors, because its rules are one of them. The
    filter comes last, because it refuses what all else needs.
    """
    before, after = prepare(locks, limits)
    syscalls.make(before)
    _place(locks, keep, stdin, stdout)
    os.chdir(folder)
    syscalls.make(after)
    # CPython reseeds `random` from the kernel at a fork. Verdicts must not depend on that seed.
    random.seed(0)
    gc.enable()


@lru_cache(maxsize=64)
def prepare(locks: Locks, limits: ChildLimits) -> tuple[list[Call], list[Call]]:
    """The system calls of `lock_down` before and after the descriptors move.

    The fork server asks first, so that a child finds them made.
    """
    before = [
        syscalls.own_session(),
        syscalls.process_option(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL),
        syscalls.process_option(syscalls.PR_SET_NO_NEW_PRIVS, 1),
    ]
    if locks.rules is not None:
        before.append(landlock.restriction(locks.rules))
    after = syscalls.resource_limits(
        locks.memory_floor + limits.memory_bytes,
        limits.cpu_seconds,
        limits.threads if locks.alone else None,
        rootfs.TEMPORARY_BYTES if limits.files else 0,
    )
    after += [
        syscalls.no_capabilities(),
        syscalls.process_option(syscalls.PR_SET_DUMPABLE, 0),
        (locks.writing_filter if limits.files else locks.filter).loading(),
    ]
    return before, after


def _place(locks: Locks, keep: list[int], stdin: int | None, stdout: int | None) -> None:
    """Move descriptors to their final numbers, by way of numbers that none of them needs."""
    wanted = [
        locks.null if stdin is None else stdin,
        locks.null if stdout is None else stdout,
        locks.null,
        *keep,
    ]
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, len(wanted)) for descriptor in wanted]
    for number, descriptor in enumerate(aside):
        os.dup2(descriptor, number)
    syscalls.close_from(len(wanted))
