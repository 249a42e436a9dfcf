"""Linux system calls that the standard library lacks, by ctypes: prctl, clone, mount, capset,
close_range. x86-64.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct

# user and group of the jails that root starts: no account's, and owner of no file
JAIL_ID = 64321
# the call numbers here and in seccomp.py
MACHINE = "x86_64"
# clone(2) flags
NAMESPACES = {
    "user": os.CLONE_NEWUSER,
    "pid": os.CLONE_NEWPID,
    "net": os.CLONE_NEWNET,
    "mount": os.CLONE_NEWNS,
    "ipc": os.CLONE_NEWIPC,
    "uts": os.CLONE_NEWUTS,
}

_SYS_CLONE, _SYS_CAPSET, _SYS_PIVOT_ROOT, _SYS_CLOSE_RANGE = 56, 126, 155, 436
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CAPABILITY_VERSION_3 = 0x20080522
_MNT_DETACH = 2
# malloc.h
_M_ARENA_MAX = -8

libc = ctypes.CDLL(None, use_errno=True)
# clone: the child must return holding the interpreter's lock
_with_gil = ctypes.PyDLL(None, use_errno=True)


def checked(result: int, what: str) -> int:
    """`result`, or OSError from errno if it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(option: int, value: int, what: str) -> None:
    words = [ctypes.c_ulong(word) for word in (value, 0, 0, 0)]
    checked(libc.prctl(ctypes.c_int(option), *words), what)


def die_with_parent() -> None:
    """SIGKILL for this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, "PR_SET_PDEATHSIG")


def no_new_privileges() -> None:
    """No exec of this process or a child can gain privileges; also what lets it load a seccomp
    filter.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "PR_SET_NO_NEW_PRIVS")


def not_dumpable() -> None:
    """No core file, and no ptrace or /proc/PID/mem by others of the same user."""
    _prctl(_PR_SET_DUMPABLE, 0, "PR_SET_DUMPABLE")


def one_malloc_arena() -> None:
    """Let threads share one heap: each arena of glibc's reserves 128 MB of the address space that a
    program is allowed.
    """
    libc.mallopt(_M_ARENA_MAX, 1)


def clone(flags: int) -> int:
    """fork() into new namespaces (CLONE_NEW* flags), with CPython's own at-fork hooks.

    Returns as os.fork does.
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
    """Empty the effective, permitted and inheritable sets of this process."""
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0))
    checked(libc.syscall(_SYS_CAPSET, header, ctypes.create_string_buffer(24)), "capset")


def close_from(first: int) -> None:
    """Close every descriptor >= first."""
    checked(libc.syscall(_SYS_CLOSE_RANGE, first, ctypes.c_uint(0xFFFFFFFF), 0), "close_range")


def mount(
    source: str | None, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    """mount(2)."""
    words = [text.encode() if text is not None else None for text in (source, target, kind)]
    result = libc.mount(*words, ctypes.c_ulong(flags), data.encode() if data is not None else None)
    checked(result, f"mount on {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and detach what was: nothing of the host's files stays reachable by path."""
    os.chdir(new)
    checked(libc.syscall(_SYS_PIVOT_ROOT, b".", old.encode()), "pivot_root")
    os.chdir("/")
    checked(libc.umount2(f"/{old}".encode(), _MNT_DETACH), "umount2")


def limit_resources(
    memory_bytes: int, cpu_seconds: int, threads: int | None, descriptors: int
) -> None:
    """Set each limit hard = soft, so that nothing can be raised again.

    memory_bytes caps the address space. Soft = hard matters for CPU too: pid 1 of a namespace
    ignores SIGXCPU, only the hard limit's SIGKILL reaches it. No file may grow (size 0), no core is
    written. threads: None leaves their number as it is.
    """
    if threads is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (threads, threads))
    for kind, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_NOFILE, descriptors),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_STACK, 16 << 20),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(kind, (value, value))
