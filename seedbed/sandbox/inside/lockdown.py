"""What jails and testers give up before they run a line of foreign code."""

from __future__ import annotations

import fcntl
import gc
import os
import random
from dataclasses import dataclass

from . import rootfs, syscalls
from .kernel import landlock
from .kernel.seccomp import Filter

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

    The order matters. Descriptors come first, because moving them takes calls that the filter
    refuses. The filter comes last.
    """
    os.setsid()
    syscalls.die_with_parent()
    _place(locks, keep, stdin, stdout)
    os.chdir(folder)
    memory = locks.memory_floor + limits.memory_bytes
    threads = limits.threads if locks.alone else None
    syscalls.limit_resources(
        memory, limits.cpu_seconds, threads, rootfs.TEMPORARY_BYTES if limits.files else 0
    )
    syscalls.drop_capabilities()
    syscalls.not_dumpable()
    syscalls.no_new_privileges()
    if locks.rules is not None:
        rules = CHANNEL + len(keep)
        landlock.restrict(rules)
        os.close(rules)
    (locks.writing_filter if limits.files else locks.filter).load()
    # CPython reseeds `random` from the kernel at a fork. Verdicts must not depend on that seed.
    random.seed(0)
    gc.enable()


def _place(locks: Locks, keep: list[int], stdin: int | None, stdout: int | None) -> None:
    """Move descriptors to their final numbers, by way of numbers that none of them needs."""
    wanted = [
        locks.null if stdin is None else stdin,
        locks.null if stdout is None else stdout,
        locks.null,
        *keep,
    ]
    if locks.rules is not None:
        wanted.append(locks.rules)
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, len(wanted)) for descriptor in wanted]
    for number, descriptor in enumerate(aside):
        os.dup2(descriptor, number)
    syscalls.close_from(len(wanted))
