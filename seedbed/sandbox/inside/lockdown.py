"""What jails and testers give up before they run a line of foreign code."""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import random
import struct
from dataclasses import dataclass

from . import rootfs, syscalls
from .seccomp import Filter
from .syscalls import checked, libc

# A child's first descriptor after 0, 1 and 2.
CHANNEL = 3
# Jails that one tester serves at most. So its own start is cheap per program, and its descriptors
# stay below their limit.
CHANNELS = 8
# Landlock is a second lock on files, TCP and signals, besides the namespaces. It is used where the
# kernel has it (5.13 and later). Source of its rights and structures: linux/landlock.h.
# System-call numbers are of asm/unistd_64.h.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# All rights on files by ABI version. From ABI 5 on there are 16.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
# Known from ABI 4 on.
_TCP_BIND_CONNECT = 3
# Known from ABI 6 on.
_SCOPE_ABSTRACT_SOCKET_SIGNAL = 3


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
        _restrict(rules)
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


def landlock_version() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    return max(0, libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def landlock_rules(readable: list[str], listable: list[str], writable: list[str]) -> int | None:
    """Descriptor of a rule set; None where the kernel has no Landlock.

    readable: files and folders that may be read. listable: folders that may be listed, with all
    below them. writable: folders in which all is allowed. Nothing else is.
    """
    version = landlock_version()
    if version == 0:
        return None
    rights = _FILE_RIGHTS.get(version, (1 << 16) - 1)
    fields = [rights]
    if version >= 4:
        fields.append(_TCP_BIND_CONNECT)
    if version >= 6:
        fields.append(_SCOPE_ABSTRACT_SOCKET_SIGNAL)
    attributes = struct.pack(f"{len(fields)}Q", *fields)
    buffer, size = ctypes.create_string_buffer(attributes), ctypes.c_size_t(len(attributes))
    rules = checked(libc.syscall(_CREATE_RULESET, buffer, size, 0), "landlock_create_ruleset")
    for path in [*readable, *listable, *writable]:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if path in writable:
            allowed = rights
        elif path in listable:
            allowed = _READ_DIR
        elif os.path.isdir(path):
            allowed = _READ_FILE | _READ_DIR
        else:
            allowed = _READ_FILE
        rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, place))
        checked(libc.syscall(_ADD_RULE, rules, _RULE_PATH_BENEATH, rule, 0), "landlock_add_rule")
        os.close(place)
    return rules


def _restrict(rules: int) -> None:
    """Confine this process and its threads for good. no-new-privileges must be set before."""
    checked(libc.syscall(_RESTRICT_SELF, rules, 0), "landlock_restrict_self")
