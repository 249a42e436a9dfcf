"""The fork server: a warm interpreter in an empty world, from which each jail and tester is cloned
in about a millisecond.

Started by exec with an empty environment, so nothing of the trainer (tests, keys, arguments) is in
its memory; a fork would carry all of it into every jail. It never sees a program or a test: it
passes descriptors on. Isolation in layers:

    once, here    user, mount, net, ipc and uts namespaces; an unprivileged uid; a root with the standard library only
    per jail      fresh user, pid, net, mount, ipc and uts namespaces; no capabilities; limits; Landlock; seccomp (lockdown.py)
    per tester    the same, but net, mount, ipc and uts are the fork server's own empty ones: its code is the data set's

With "rlimits-only", for hosts that forbid namespaces, what is left is an unprivileged uid (where
root may take one that can read the standard library), no capabilities, limits, Landlock (required
then) and seccomp. No process can be started, no file but the standard library's be opened, no
socket be connected; but a child sees which of the host's paths exist, and shares its user.

Requests from the supervisor (JSON on a SEQPACKET socket, descriptors attached), one jail and at
most one tester at a time:

    {"op": "tester", ...limits}  + [tester's socket]         clones a tester with CHANNELS sockets, each for one jail to come
    {"op": "calls", ...limits}                               clones a jail on the next of those sockets
    {"op": "script", ...limits}  + [report socket, stdout]   clones a jail that runs a script
    {"op": "reap", "grace": s, "tester": bool}               waits up to s seconds for the jail, kills it and, if asked, the
                                                             tester; gives their statuses
"""

from __future__ import annotations

import array
import contextlib
import errno
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from . import jail, landlock, rootfs, syscalls, tester, wire
from .decoder import Decoder
from .lockdown import CHANNELS, ChildLimits, Locks
from .seccomp import Filter

# C extensions that programs import: after the filter is loaded no library can be mapped. Pure
# Python modules load lazily from the root; those that most programs use are here. Not `threading`:
# its at-fork hook costs each child 70 page faults, 0.3 ms.
_EXTENSIONS = """
    _bisect _blake2 _bz2 _contextvars _csv _datetime _decimal _hashlib _heapq _json _lzma _md5 _opcode
    _pickle _posixsubprocess _queue _random _sha1 _sha2 _sha3 _socket _statistics _struct _uuid array binascii cmath
    fcntl math mmap pyexpat select unicodedata zlib
"""
_COMMON = """
    bisect calendar collections contextlib copy dataclasses datetime decimal enum fractions functools hashlib heapq io
    itertools json numbers operator random re statistics string textwrap time traceback types typing
"""
# A pid namespace a child, always; the rest once for the fork server (its "home"), and again for
# each jail.
_PID_FLAGS = syscalls.NAMESPACES["user"] | syscalls.NAMESPACES["pid"]
_HOME_FLAGS = sum(flag for name, flag in syscalls.NAMESPACES.items() if name != "pid")


def main(control: int, isolation: str) -> None:
    """Serve on descriptor `control` until the supervisor closes it. Faults at the start are sent as
    {"refused": step, ...}.

    isolation: "full" or "rlimits-only".
    """
    link = socket.socket(fileno=control)
    sys.argv[:] = [""]
    sys.orig_argv[:] = [""]
    os.environ.clear()
    try:
        _import()
        server = _Server(link, _enter(link) if isolation == "full" else _enter_weakly())
        _warm()
    except _Refused as error:
        link.send(
            json.dumps(
                {"refused": error.args[0], "errno": error.args[1], "detail": error.args[2]}
            ).encode()
        )
        return
    link.send(b'{"ready": true}')
    gc.collect()
    gc.freeze()
    gc.disable()
    server.serve()


class _Refused(Exception):
    """The host does not give what the sandbox needs: (step, errno, detail)."""


def _step(what: str, action: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return action(*arguments)
    except OSError as error:
        raise _Refused(what, error.errno, str(error)) from error


def _import() -> None:
    for name in (_EXTENSIONS + _COMMON).split():
        try:
            importlib.import_module(name)
        except ImportError:
            # an interpreter built without it
            continue
    syscalls.one_malloc_arena()


def _enter(link: socket.socket) -> Locks:
    """Go from a bare interpreter to the sealed fork server."""
    library = rootfs.stdlib()
    null = os.open("/dev/null", os.O_RDWR)
    _step("user, mount, net, ipc and uts namespaces", os.unshare, _HOME_FLAGS)
    link.send(b'{"unshared": true}')
    # the supervisor has written the uid and gid maps
    identity = json.loads(link.recv(4096))
    memory_floor = _address_space()
    _step("a private root file system", rootfs.enter, library)
    if identity["drop"]:
        os.setgroups([])
        os.setresgid(1, 1, 1)
        os.setresuid(1, 1, 1)
    else:
        _step("dropping capabilities", syscalls.drop_capabilities)
    syscalls.not_dumpable()
    _step("reading the standard library as another user", _read, os.path.join(library, "os.py"))
    rules = _step("Landlock", landlock.ruleset, [library, rootfs.PROJECT], [])
    _step("a pid namespace", _try_clone)
    return Locks(null, rules, Filter(alone=True), memory_floor, alone=True)


def _enter_weakly() -> Locks:
    """The same without namespaces."""
    library, null, memory_floor = rootfs.stdlib(), os.open("/dev/null", os.O_RDWR), _address_space()
    if os.geteuid() == 0 and rootfs.is_open_to_others(library):
        # root of a container with no other ids
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(syscalls.JAIL_ID, syscalls.JAIL_ID, syscalls.JAIL_ID)
            os.setresuid(syscalls.JAIL_ID, syscalls.JAIL_ID, syscalls.JAIL_ID)
    _step("dropping capabilities", syscalls.drop_capabilities)
    syscalls.not_dumpable()
    _step("reading the standard library as another user", _read, os.path.join(library, "os.py"))
    # An installed benchmark's answers must not be readable, and no rule takes back what one above
    # it gives.
    entries = [
        os.path.join(library, name)
        for name in os.listdir(library)
        if not name.endswith("-packages")
    ]
    rules = _step("Landlock", landlock.ruleset, entries, [library])
    if rules is None:
        raise _Refused(
            "Landlock",
            errno.ENOSYS,
            "this kernel has none, and without namespaces nothing else guards files",
        )
    return Locks(null, rules, Filter(alone=False), memory_floor, alone=False)


def _read(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def _try_clone() -> None:
    pid = syscalls.clone(_PID_FLAGS | _HOME_FLAGS)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _address_space() -> int:
    """Bytes of address space that this process has (proc_pid_statm(5), first field)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE")


class _Server:
    """Children of the verdict in hand, and the requests about them."""

    def __init__(self, link: socket.socket, locks: Locks):
        self._link, self._locks = link, locks
        self._jail_flags = _PID_FLAGS | _HOME_FLAGS if locks.alone else 0
        self._tester_flags = _PID_FLAGS if locks.alone else 0
        # process ids; 0: none
        self._jail = self._tester = 0
        # of the tester's sockets, for jails to come
        self._ends: list[socket.socket] = []

    def serve(self) -> None:
        while True:
            data, ancillary, _, _ = self._link.recvmsg(4096, socket.CMSG_SPACE(8))
            if not data:
                self._reap(0, True)
                os._exit(0)
            request = json.loads(data)
            descriptors = array.array("i")
            for _, _, packed in ancillary:
                descriptors.frombytes(packed)
            try:
                answer = self._answer(request, list(descriptors))
            except OSError as error:
                answer = {"error": str(error)}
            for descriptor in descriptors:
                os.close(descriptor)
            self._link.send(json.dumps(answer).encode())

    def _answer(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        if request["op"] == "reap":
            return {"ended": self._reap(request["grace"], request["tester"])}
        limits = ChildLimits(request["memory_bytes"], request["cpu_seconds"], request["threads"])
        if request["op"] == "tester":
            self._spawn_tester(limits, descriptors[0], request["output_bytes"])
        elif request["op"] == "script":
            self._jail = self._spawn(self._jail_flags, jail.run_script, limits, *descriptors)
        else:
            with self._ends.pop() as end:
                body, size = jail.serve_calls, request["output_bytes"]
                self._jail = self._spawn(self._jail_flags, body, limits, end.fileno(), size)
        return {"jail": self._jail, "tester": self._tester}

    def _spawn_tester(self, limits: ChildLimits, supervisor: int, output_bytes: int) -> None:
        pairs = [socket.socketpair() for _ in range(CHANNELS)]
        theirs = [theirs for theirs, _ in pairs]
        channels = [end.fileno() for end in theirs]
        self._tester = self._spawn(
            self._tester_flags, tester.run, limits, channels, supervisor, output_bytes
        )
        for end in theirs:
            end.close()
        self._ends = [ours for _, ours in reversed(pairs)]

    def _spawn(
        self, flags: int, body: Callable[..., None], limits: ChildLimits, *arguments: Any
    ) -> int:
        pid = syscalls.clone(flags)
        if pid == 0:
            try:
                body(self._locks, limits, *arguments)
            except EOFError:
                os._exit(0)
            finally:
                os._exit(70)
        return pid

    def _reap(self, grace: float, with_tester: bool) -> list[dict[str, float]]:
        """Statuses, the jail's first: {status: as from os.waitpid, ours: whether we killed it, cpu,
        rss}.
        """
        ended = [_end(self._jail, grace)] if self._jail else []
        self._jail = 0
        rootfs.clean()
        if with_tester and self._tester:
            ended.append(_end(self._tester, 0))
            self._tester = 0
            for end in self._ends:
                end.close()
            self._ends = []
        return ended


def _end(pid: int, grace: float) -> dict[str, float]:
    alive = True
    if grace:
        watch = os.pidfd_open(pid)
        alive = not select.select([watch], [], [], grace)[0]
        os.close(watch)
    done, status, usage = os.wait4(pid, os.WNOHANG)
    if not done:
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    cpu = usage.ru_utime + usage.ru_stime
    return {"status": status, "ours": alive and not done, "cpu": cpu, "rss": usage.ru_maxrss * 1024}


def _warm() -> None:
    """Run what every child runs, before the freeze: the interpreter specialises its bytecode here,
    once.

    In a child each such write would be a fault on a shared page (measured: 12 % fewer verdicts).
    """
    reader, writer = os.pipe()
    for _ in range(40):
        arguments = (1, 2.5, "x", [1, 2, 3, 4], [(2, 3)], {"k": None}, {1}, True)
        wire.send(writer, wire.frame(1 << 20, "call", "add", arguments, None))
        Decoder(wire.receive(reader, 1 << 20)).values(4)
        exec(
            compile(
                "def add(a, b):\n    return a + b\n\nassert add(1, 2) == 3\n", "<warm>", "exec"
            ),
            {},
        )
    os.close(reader)
    os.close(writer)
