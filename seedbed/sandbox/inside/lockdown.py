"""What every child of the fork server gives up before it runs a line that is not ours: jails and
testers alike.
"""

from __future__ import annotations

import fcntl
import gc
import os
import random
from dataclasses import dataclass

from . import landlock, syscalls
from .seccomp import Filter

# a child's first descriptor after 0, 1, 2
CHANNEL = 3
# jails that one tester serves at most: its own start is then cheap, and its descriptors fit the
# limit
CHANNELS = 8


@dataclass(frozen=True)
class Locks:
    """Made once by the fork server, taken on by each child."""

    # descriptor of /dev/null
    null: int
    # Landlock rule set
    rules: int | None
    filter: Filter
    # address space of the bare fork server, bytes: limits count what a program adds to it
    memory_floor: int
    # each child has a pid namespace and a user of its own; else RLIMIT_NPROC would count others'
    # threads
    alone: bool


@dataclass(frozen=True)
class ChildLimits:
    memory_bytes: int
    cpu_seconds: int
    threads: int


def lock_down(
    locks: Locks,
    limits: ChildLimits,
    keep: list[int],
    stdin: int | None = None,
    stdout: int | None = None,
    folder: str = "/",
) -> None:
    """Confine this process for good. `keep` become descriptors 3, 4, ...; 0-2 are /dev/null unless
    given; all others close.
    folder: where it stands.

    The order matters: descriptors first, as they need calls that the filter refuses; the filter
    last.
    """
    os.setsid()
    syscalls.die_with_parent()
    _place(locks, keep, stdin, stdout)
    os.chdir(folder)
    memory, threads = (
        locks.memory_floor + limits.memory_bytes,
        limits.threads if locks.alone else None,
    )
    syscalls.limit_resources(memory, limits.cpu_seconds, threads, descriptors=32)
    syscalls.drop_capabilities()
    syscalls.not_dumpable()
    syscalls.no_new_privileges()
    if locks.rules is not None:
        rules = CHANNEL + len(keep)
        landlock.restrict(rules)
        os.close(rules)
    locks.filter.load()
    # CPython reseeds from the kernel at fork: verdicts must not depend on luck
    random.seed(0)
    gc.enable()


def _place(locks: Locks, keep: list[int], stdin: int | None, stdout: int | None) -> None:
    """Move descriptors to their final numbers, first out of each other's way."""
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
