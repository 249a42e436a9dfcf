"""The system calls of compilers, and of programs that are machine code, in JavaScript or in Java.

They start from Python's list (seccomp.py). The numbers are those of asm/unistd_64.h.
"""

from __future__ import annotations

from ..kernel import seccomp
from ..kernel.seccomp import Filter

# What the start of any program by execve needs, and the runtimes of Go, Node and Java.
_RUN = {
    "mincore": 27, "execve": 59, "fadvise64": 221, "capget": 125, "arch_prctl": 158,
    "set_tid_address": 218, "eventfd2": 290, "dup3": 292, "membarrier": 324,
}  # fmt: skip
# What compilers need besides: they write files and start their parts as processes.
_COMPILE = {
    "open": 2, "pwrite64": 18, "fork": 57, "vfork": 58, "wait4": 61, "flock": 73, "fsync": 74,
    "fdatasync": 75, "truncate": 76, "ftruncate": 77, "getdents": 78, "chdir": 80, "fchdir": 81,
    "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88,
    "chmod": 90, "fchmod": 91, "umask": 95, "getpgrp": 111, "statfs": 137, "fstatfs": 138,
    "sched_setaffinity": 203, "utimes": 235, "waitid": 247, "mkdirat": 258, "unlinkat": 263,
    "renameat": 264, "linkat": 265, "symlinkat": 266, "fchmodat": 268, "utimensat": 280,
    "fallocate": 285, "renameat2": 316, "copy_file_range": 326, "sendfile": 40,
}  # fmt: skip
_MMAP, _MPROTECT, _CLONE, _KILL, _OPENAT = 9, 10, 56, 62, 257
_MAP_SHARED, _MAP_ANONYMOUS, _MAP_GROWSDOWN = 0x01, 0x20, 0x100
# Any call of this number.
_FREE = [seccomp._OK]


def _counted_mmap() -> list[bytes]:
    """mmap of memory that RLIMIT_DATA counts.

    That limit counts private writable memory only (proc_pid_status(5), VmData). So shared memory
    without a file is refused, and so is memory that grows down like a stack.
    """
    bit, ok, deny = seccomp._ANY_BIT, seccomp._OK, seccomp._DENY
    return [
        seccomp._argument(3),
        seccomp._step(bit, _MAP_GROWSDOWN, no=1),
        deny,
        seccomp._step(bit, _MAP_SHARED, yes=1),
        ok,
        seccomp._step(bit, _MAP_ANONYMOUS, no=1),
        deny,
        ok,
    ]


def of_programs(alone: bool, writes_code: bool, counted: bool) -> Filter:
    """The filter of a program. Processes, writing, sockets and signals to others are refused.

    writes_code: whether it may map executable memory: JIT compilers and shared libraries do.
    counted: whether RLIMIT_DATA is what limits its memory.
    """
    rules: dict[int, list[bytes]] = {}
    if writes_code:
        rules = {_MMAP: _FREE, _MPROTECT: _FREE}
    if counted:
        rules[_MMAP] = _counted_mmap()
    return Filter(alone, False, [*_RUN.values()], rules)


def of_compilers(alone: bool) -> Filter:
    """The filter of a compiler and its parts: files and processes, but no sockets.

    Only in a namespace of its own may it send a signal to another process.
    """
    rules = dict.fromkeys((_MMAP, _MPROTECT, _CLONE, _OPENAT), _FREE)
    if alone:
        rules[_KILL] = _FREE
    return Filter(alone, False, [*_RUN.values(), *_COMPILE.values()], rules)
