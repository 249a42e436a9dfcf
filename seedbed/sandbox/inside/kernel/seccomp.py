"""The system calls that jails and testers may make, as a classic BPF program assembled by hand.

A call that is not listed fails with EPERM, so a program may try it, be refused and go on. Calls
that no honest program makes (such as ptrace, mount, bpf or io_uring) kill the process with SIGSYS.
The verdict is then `forbidden`.

Sources: linux/filter.h and seccomp(2) for the program, asm/unistd_64.h for the numbers.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping, Sequence

from ..syscalls import Call, make

ALLOWED = {
    "read": 0, "write": 1, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8,
    "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
    "pread64": 17, "readv": 19, "writev": 20, "access": 21, "pipe": 22, "select": 23,
    "sched_yield": 24, "mremap": 25, "madvise": 28, "dup": 32, "dup2": 33, "nanosleep": 35,
    "getitimer": 36, "alarm": 37, "setitimer": 38, "getpid": 39, "sendto": 44, "recvfrom": 45,
    "shutdown": 48, "getsockname": 51, "getsockopt": 55, "exit": 60, "uname": 63, "getcwd": 79,
    "readlink": 89, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sysinfo": 99,
    "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110,
    "sigaltstack": 131, "gettid": 186, "futex": 202, "sched_getaffinity": 204, "getdents64": 217,
    "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230,
    "exit_group": 231, "epoll_wait": 232, "epoll_ctl": 233, "newfstatat": 262, "readlinkat": 267,
    "faccessat": 269, "pselect6": 270, "ppoll": 271, "set_robust_list": 273, "epoll_pwait": 281,
    "epoll_create1": 291, "pipe2": 293, "getrandom": 318, "statx": 332, "rseq": 334,
    "faccessat2": 439,
}  # fmt: skip
# What a child may call besides, if it may write temporary files. Landlock and read-only mounts keep
# it in its folder.
WRITING = {
    "pwrite64": 18, "sendfile": 40, "fsync": 74, "fdatasync": 75, "truncate": 76, "ftruncate": 77,
    "rename": 82, "mkdir": 83, "rmdir": 84, "unlink": 87, "mkdirat": 258, "unlinkat": 263,
    "renameat": 264, "pwritev": 296, "renameat2": 316,
}  # fmt: skip
LETHAL = {
    "ptrace": 101, "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166, "reboot": 169,
    "init_module": 175, "delete_module": 176, "kexec_load": 246, "add_key": 248,
    "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
    "process_vm_writev": 311, "finit_module": 313, "seccomp": 317, "bpf": 321, "userfaultfd": 323,
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "pidfd_open": 434, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442,
}  # fmt: skip

_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOTTY, _ENOSYS = 1, 25, 38
_LOAD, _JUMP, _EQUAL, _GREATER_EQUAL, _ANY_BIT, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
_AUDIT_ARCH_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_PROT_EXEC, _CLONE_THREAD, _AF_UNIX, _FIONBIO = 4, 0x10000, 1, 0x5421
# O_WRONLY | O_RDWR, O_CREAT, O_TRUNC, and the bit that O_TMPFILE has alone.
_OPEN_WRITES = 0o3 | 0o100 | 0o1000 | 0o20000000
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL and F_DUPFD_CLOEXEC.
_FCNTL = (0, 1, 2, 3, 4, 1030)


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)


_OK, _DENY = _step(_RETURN, _ALLOW), _step(_RETURN, _ERRNO | _EPERM)


def _argument(index: int, high: bool = False) -> bytes:
    """Load the low or high 32 bits of an argument of the call.

    In struct seccomp_data the arguments begin at byte 16 and have 8 bytes each.
    """
    return _step(_LOAD, 16 + 8 * index + (4 if high else 0))


def _rules(alone: bool, writing: bool) -> list[tuple[int, list[bytes]]]:
    """Calls that are allowed for some arguments only: a number, and steps that end in a return.

    alone: whether the process is pid 1 of a namespace. writing: whether it may write files.
    """
    itself = [_argument(0), _step(_EQUAL, 1, no=1), _OK, _DENY] if alone else [_DENY]
    no_exec = [_argument(2), _step(_ANY_BIT, _PROT_EXEC, no=1), _DENY, _OK]
    one_of = [
        _step(_EQUAL, command, yes=len(_FCNTL) - position)
        for position, command in enumerate(_FCNTL)
    ]
    reading = [_argument(2), _step(_ANY_BIT, _OPEN_WRITES, no=1), _DENY, _OK]
    return [
        # mmap, not executable
        (9, no_exec),
        # mprotect, not executable
        (10, no_exec),
        # ioctl: FIONBIO alone
        (16, [_argument(1), _step(_EQUAL, _FIONBIO, no=1), _OK, _step(_RETURN, _ERRNO | _ENOTTY)]),
        # socketpair: AF_UNIX alone, for the pipe that asyncio wakes itself by
        (53, [_argument(0), _step(_EQUAL, _AF_UNIX, no=1), _OK, _DENY]),
        # clone: threads, but no processes
        (56, [_argument(0), _step(_ANY_BIT, _CLONE_THREAD, no=1), _OK, _DENY]),
        # kill: itself
        (62, itself),
        # fcntl: a few commands
        (72, [_argument(1), *one_of, _DENY, _OK]),
        # tgkill: itself
        (234, itself),
        # openat: for reading, unless temporary files are allowed
        (257, [_OK] if writing else reading),
        # prlimit64: for reading, so both halves of the pointer to new limits are 0
        (302, [_argument(2), _step(_EQUAL, 0, no=3),
               _argument(2, True), _step(_EQUAL, 0, no=1), _OK, _DENY]),
        # clone3: its flags lie in memory, where no filter looks; libc falls back to clone
        (435, [_step(_RETURN, _ERRNO | _ENOSYS)]),
    ]  # fmt: skip


def program(
    alone: bool,
    writing: bool = False,
    more: Sequence[int] = (),
    rules: Mapping[int, list[bytes]] | None = None,
) -> bytes:
    """The whole filter, with 8 bytes per step.

    more: numbers of further calls that are allowed. rules: in place of, or besides, those above.
    """
    steps = [
        _step(_LOAD, 4),
        _step(_EQUAL, _AUDIT_ARCH_X86_64, yes=1),
        _step(_RETURN, _KILL_PROCESS),
        _step(_LOAD, 0),
    ]
    steps += [_step(_GREATER_EQUAL, _X32_BIT, no=1), _step(_RETURN, _KILL_PROCESS)]
    allowed = [*ALLOWED.values(), *(WRITING.values() if writing else ()), *more]
    actions = {number: [_step(_RETURN, _KILL_PROCESS)] for number in LETHAL.values()}
    actions |= {number: [_OK] for number in allowed}
    actions |= {**dict(_rules(alone, writing)), **(rules or {})}
    return b"".join([*steps, *_search(_ranges(actions))])


def _ranges(actions: Mapping[int, list[bytes]]) -> list[tuple[int, list[bytes]]]:
    """Where each range of call numbers begins, and its steps. Other numbers are denied."""
    found = [(0, [_DENY])]
    for number in sorted(actions):
        if found[-1][0] == number:
            found.pop()
        if not found or found[-1][1] != actions[number]:
            found.append((number, actions[number]))
        found.append((number + 1, [_DENY]))
    return found


def _search(ranges: list[tuple[int, list[bytes]]]) -> list[bytes]:
    """A binary search for the number that is loaded.

    The kernel walks the program once for each of its 450 calls when it loads it.
    """
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    low, high, bound = _search(ranges[:middle]), _search(ranges[middle:]), ranges[middle][0]
    # A conditional jump reaches 255 steps, a plain one reaches all.
    if len(low) < 256:
        return [_step(_GREATER_EQUAL, bound, yes=len(low)), *low, *high]
    return [_step(_GREATER_EQUAL, bound, no=1), _step(_JUMP, len(low)), *low, *high]


class Filter:
    """The filter in memory. The fork server builds it once, and each child loads it."""

    def __init__(
        self,
        alone: bool,
        writing: bool = False,
        more: Sequence[int] = (),
        rules: Mapping[int, list[bytes]] | None = None,
    ) -> None:
        code = program(alone, writing, more, rules)
        self._code = ctypes.create_string_buffer(code, len(code))
        self._header = ctypes.create_string_buffer(
            struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(self._code))
        )

    def load(self) -> None:
        """Confine this process and its threads for good. no-new-privileges must be set before."""
        make([self.loading()])

    def loading(self) -> Call:
        """The call of `load`: seccomp(SECCOMP_SET_MODE_FILTER, 0, program)."""
        return Call("seccomp", 317, 1, 0, self._header)
