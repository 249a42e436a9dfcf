"""Linux system calls that the standard library lacks, by ctypes, for x86-64.

They are prctl, clone, mount, pivot_root, capset and close_range.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Sequence
from typing import Any

# User and group of the jails that root starts. No account has this id, and it owns no file.
JAIL_ID = 64321
# The machine whose call numbers stand here and in seccomp.py.
MACHINE = "x86_64"
# Flags of clone(2). The module `os` has them from 3.12 on.
NAMESPACES = {
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "mount": 0x00020000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
}
# Bytes of a jail's main stack. The fork server's own stack limit is set to it before it starts, so
# that the kernel leaves this room below the stack.
STACK_BYTES = 512 << 20

_SYS_CLONE, _SYS_CAPSET, _SYS_PIVOT_ROOT, _SYS_CLOSE_RANGE = 56, 126, 155, 436
_SYS_SETSID, _SYS_PRCTL, _SYS_SETRLIMIT = 112, 157, 160
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
# struct rlimit: soft and hard.
_RLIMIT = struct.Struct("QQ").pack
_CAPABILITY_VERSION_3 = 0x20080522
_MNT_DETACH = 2
# Descriptors of a jail or a tester.
_DESCRIPTORS = 32
# Option of mallopt(3), from malloc.h.
_M_ARENA_MAX = -8

libc = ctypes.CDLL(None, use_errno=True)
# For clone: the child must come back with the interpreter's lock held.
_with_gil = ctypes.PyDLL(None, use_errno=True)


def checked(result: int, what: str) -> int:
    """Gives `result`. Raises OSError with errno if it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(option: int, value: int, what: str) -> None:
    words = [ctypes.c_ulong(word) for word in (value, 0, 0, 0)]
    checked(libc.prctl(ctypes.c_int(option), *words), what)


def die_with_parent() -> None:
    """Let the kernel kill this process (SIGKILL) when its parent ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, "PR_SET_PDEATHSIG")


def no_new_privileges() -> None:
    """Forbid that an exec of this process or its children gains privileges.

    Only then may it load a seccomp filter.
    """
    _prctl(PR_SET_NO_NEW_PRIVS, 1, "PR_SET_NO_NEW_PRIVS")


def not_dumpable() -> None:
    """Forbid core files, and ptrace and /proc/PID/mem by other processes of the user."""
    dumpable(False)


def dumpable(allowed: bool) -> None:
    """Allow or forbid that. A process must be dumpable to write to its own /proc/self."""
    _prctl(PR_SET_DUMPABLE, int(allowed), "PR_SET_DUMPABLE")


def one_malloc_arena() -> None:
    """Let all threads share one heap.

    Each further arena of glibc reserves 128 MB of the address space that a program may use.
    """
    libc.mallopt(_M_ARENA_MAX, 1)


def trim_heap() -> None:
    """Give free pages of the heap back: malloc_trim(3)."""
    libc.malloc_trim(ctypes.c_size_t(0))


def running_cpu() -> int:
    """The CPU that this thread runs on: sched_getcpu(3)."""
    return checked(libc.sched_getcpu(), "sched_getcpu")


def clone(flags: int) -> int:
    """Fork into new namespaces, with CPython's own at-fork hooks. Returns as os.fork does.

    flags: CLONE_NEW* of clone(2).
    """
    api = ctypes.pythonapi
    api.PyOS_BeforeFork()
    words = [ctypes.c_ulong(word) for word in (flags | signal.SIGCHLD, 0, 0, 0, 0)]
    pid = _with_gil.syscall(ctypes.c_long(_SYS_CLONE), *words)
    if pid == 0:
        api.PyOS_AfterFork_Child()
        return 0
    number = ctypes.get_errno()
    api.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, f"clone: {os.strerror(number)}")
    return pid


def drop_capabilities() -> None:
    """Empty the effective, permitted and inheritable capabilities of this process."""
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0))
    checked(libc.syscall(_SYS_CAPSET, header, ctypes.create_string_buffer(24)), "capset")


def close_from(first: int) -> None:
    """Close every descriptor from `first` on."""
    checked(libc.syscall(_SYS_CLOSE_RANGE, first, ctypes.c_uint(0xFFFFFFFF), 0), "close_range")


def mount(
    source: str | None, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    """mount(2)."""
    words = [text.encode() if text is not None else None for text in (source, target, kind)]
    result = libc.mount(*words, ctypes.c_ulong(flags), data.encode() if data is not None else None)
    checked(result, f"mount on {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and detach the old one, so that no path leads to the host's files."""
    os.chdir(new)
    checked(libc.syscall(_SYS_PIVOT_ROOT, b".", old.encode()), "pivot_root")
    os.chdir("/")
    checked(libc.umount2(f"/{old}".encode(), _MNT_DETACH), "umount2")


def unshare(flags: int) -> None:
    """Move this process into new namespaces: unshare(2)."""
    checked(libc.unshare(ctypes.c_int(flags)), "unshare")


class Call:
    """A system call whose words are made before a fork, so that the child only has to make it.

    In a child each object that is made, and each line that runs for the first time, copies pages.
    """

    def __init__(self, name: str, number: int, *words: Any):
        """words: integers, and buffers that the kernel reads."""
        self.name = name
        self.words = [ctypes.c_long(number)]
        self.words += [ctypes.c_ulong(word) if type(word) is int else word for word in words]


def make(calls: Sequence[Call]) -> None:
    """Make the calls in their order. Raises OSError for the first that fails."""
    for call in calls:
        if libc.syscall(*call.words) < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{call.name}: {os.strerror(number)}")


def own_session() -> Call:
    """setsid(2)."""
    return Call("setsid", _SYS_SETSID)


def process_option(option: int, value: int) -> Call:
    """prctl(2) with one value."""
    return Call("prctl", _SYS_PRCTL, option, value, 0, 0, 0)


def no_capabilities() -> Call:
    """As drop_capabilities."""
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0))
    return Call("capset", _SYS_CAPSET, header, ctypes.create_string_buffer(24))


def resource_limits(
    memory_bytes: int, cpu_seconds: int, threads: int | None, file_bytes: int
) -> list[Call]:
    """Calls that set each limit, soft and hard alike, so that it cannot be raised again.

    memory_bytes: address space. threads: None leaves their number as it is.
    file_bytes: how large a file may grow.

    The hard CPU limit matters: pid 1 of a namespace ignores SIGXCPU, and only the SIGKILL of the
    hard limit reaches it. No core is written.
    """
    limits = [
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_STACK, min(STACK_BYTES, _stack_limit())),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ]
    if threads is not None:
        limits.append((resource.RLIMIT_NPROC, threads))
    return [
        Call("setrlimit", _SYS_SETRLIMIT, kind, ctypes.create_string_buffer(_RLIMIT(value, value)))
        for kind, value in limits
    ]


def _stack_limit() -> int:
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    return STACK_BYTES if hard == resource.RLIM_INFINITY else hard
