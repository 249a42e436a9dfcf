"""The fork server: a warm, sealed interpreter that clones a jail or tester in about a millisecond.

It is started by exec with an empty environment. So nothing of the caller (tests, keys, arguments)
is in its memory, while a fork would carry all of it into every jail. It never sees a program or a
test, because it only passes descriptors on.

Isolation comes in layers:

    once, here    user, mount, net, ipc and uts namespaces; an unprivileged uid; a root file system
                  with the standard library only
    per child     (jail or tester) new user and pid namespaces; no capabilities; limits; Landlock;
                  seccomp (lockdown.py)

All children of a server share its net, mount, ipc and uts namespaces. Nothing can pass through
them, since no child can leave a thing there. They belong to the server's user namespace, in which a
child has no capability, even before it drops its own. And the filter allows none of the calls that
would make an object in them:

    net     bind, connect, listen, setsockopt or socket, so that no socket ever has a name, not
            even an abstract one; `socketpair` makes nameless ones
    ipc     shmget, semget, msgget or mq_open
    mount   mount, umount2, pivot_root, fsopen, move_mount or open_tree
    uts     sethostname or setdomainname

A tmpfs is shared whether or not its mount namespace is, so files are removed after each run.

"rlimits-only" is for hosts that forbid namespaces. It keeps an unprivileged uid (where root may
take one that can read the standard library), no capabilities, limits, Landlock (then required) and
seccomp. A child can start no process, connect no socket, and open no file but the standard
library's. But it sees which paths exist on the host, and shares its user.

Requests come from the supervisor as JSON on a SEQPACKET socket, with descriptors attached. There is
one jail and at most one tester at a time:

    {"op": "tester", ...limits} + [tester's socket]
        clones a tester with CHANNELS sockets, each for one later jail
    {"op": "calls", ...limits}
        clones a jail on the next of those sockets
    {"op": "script", ...limits} + [report socket, stdout]
        clones a jail that runs a script
    {"op": "plain", ...limits} + [report socket]
        clones a jail that runs a program together with its tests
    {"op": "reap", "grace": s, "tester": bool}
        waits up to s seconds for the jail and kills it, and if asked the tester, too; gives their
        statuses
"""

from __future__ import annotations

import array
import contextlib
import errno
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from . import jail, lift, rootfs, syscalls, tester, warm
from .kernel import landlock
from .kernel.seccomp import Filter
from .lockdown import CHANNELS, ChildLimits, Locks, prepare

# C extensions that programs import. They are loaded here, because no library can be mapped once the
# filter is in force.
_EXTENSIONS = """
    _bisect _blake2 _bz2 _contextvars _csv _datetime _decimal _elementtree _hashlib _heapq
    _json _lzma _md5 _multiprocessing _opcode _pickle _posixshmem _posixsubprocess _queue _random
    _sha1 _sha2 _sha256 _sha3 _sha512 _socket _sqlite3 _statistics _struct _uuid array binascii
    cmath fcntl grp math mmap pyexpat select termios unicodedata zlib
"""
# Pure Python modules that most programs use. Others load from the root file system when they are
# imported. `threading` is not here: its at-fork hook costs each child 70 page faults, 0.3 ms.
_COMMON = """
    bisect calendar collections contextlib copy dataclasses datetime decimal enum fractions
    functools hashlib heapq io itertools json numbers operator random re statistics string textwrap
    time traceback types typing
"""
# Seconds after which a jail no longer shares a CPU: most end sooner.
_TURN = 0.05
# Every child gets a user and a pid namespace. The fork server gets the other ones (its "home").
_PID_FLAGS = syscalls.NAMESPACES["user"] | syscalls.NAMESPACES["pid"]
_HOME_FLAGS = sum(flag for name, flag in syscalls.NAMESPACES.items() if name != "pid")


def main(control: str, isolation: str, packages: str) -> None:
    """Serve on descriptor `control` until the supervisor closes it.

    isolation: "full" or "rlimits-only". packages: JSON of import names, of the paths to bring into
    the jails, and of extensions among them. A fault at the start is sent as
    {"refused": step, "errno": number, "detail": text}.
    """
    link = socket.socket(fileno=int(control))
    sys.argv[:] = [""]
    sys.orig_argv[:] = [""]
    os.environ.clear()
    try:
        names, paths, extensions = json.loads(packages)
        with warm.without_fork_hooks():
            _import()
            _import_packages(names, paths, extensions)
        full = isolation == "full"
        server = _Server(link, _enter(link, paths) if full else _enter_weakly(paths))
        warm.rehearse()
    except _Refused as error:
        link.send(
            json.dumps(
                {"refused": error.args[0], "errno": error.args[1], "detail": error.args[2]}
            ).encode()
        )
        return
    link.send(b'{"ready": true}')
    warm.settle()
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
            # This interpreter was built without the module.
            continue
    syscalls.one_malloc_arena()
    lift.lift()


def _import_packages(names: list[str], paths: list[str], extensions: list[str]) -> None:
    """Load the packages that programs may use, with all of their extensions."""
    sys.path += dict.fromkeys(os.path.dirname(path) for path in paths)
    # Threads of a numeric library would not survive the fork.
    given = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
    os.environ.update(given)
    for name in (*names, *extensions):
        # An extension may be for another machine, or need what is not installed.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    os.environ.clear()


def _enter(link: socket.socket, packages: list[str]) -> Locks:
    """Go from a bare interpreter to the sealed fork server."""
    library = rootfs.stdlib()
    null = os.open("/dev/null", os.O_RDWR)
    _step("user, mount, net, ipc and uts namespaces", syscalls.unshare, _HOME_FLAGS)
    link.send(b'{"unshared": true}')
    # The supervisor answers once it has written the maps of user and group ids.
    identity = json.loads(link.recv(4096))
    memory_floor = _address_space()
    _step("a private root file system", rootfs.enter, library, packages)
    if identity["drop"]:
        os.setgroups([])
        os.setresgid(1, 1, 1)
        os.setresuid(1, 1, 1)
    else:
        _step("dropping capabilities", syscalls.drop_capabilities)
    syscalls.not_dumpable()
    _step("reading the standard library as another user", _read, os.path.join(library, "os.py"))
    readable, writable = [library, rootfs.PROJECT, *packages], [rootfs.TEMPORARY]
    rules = _step("Landlock", landlock.ruleset, readable, [], writable)
    _step("a pid namespace", _try_clone)
    return Locks(null, rules, Filter(True), Filter(True, writing=True), memory_floor, alone=True)


def _enter_weakly(packages: list[str]) -> Locks:
    """As `_enter`, but without namespaces."""
    library, null, memory_floor = rootfs.stdlib(), os.open("/dev/null", os.O_RDWR), _address_space()
    if os.geteuid() == 0 and rootfs.is_open_to_others(library):
        # This fails for the root of a container that has no other ids.
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(syscalls.JAIL_ID, syscalls.JAIL_ID, syscalls.JAIL_ID)
            os.setresuid(syscalls.JAIL_ID, syscalls.JAIL_ID, syscalls.JAIL_ID)
    _step("dropping capabilities", syscalls.drop_capabilities)
    syscalls.not_dumpable()
    _step("reading the standard library as another user", _read, os.path.join(library, "os.py"))
    # The answers of an installed benchmark must not be readable. A Landlock rule cannot take back
    # what a rule for a folder above it gives, so site-packages is left out of the list.
    entries = [
        os.path.join(library, name)
        for name in os.listdir(library)
        if not name.endswith("-packages")
    ] + packages
    rules = _step("Landlock", landlock.ruleset, entries, [library], [])
    if rules is None:
        raise _Refused(
            "Landlock",
            errno.ENOSYS,
            "this kernel has none, and without namespaces nothing else guards files",
        )
    return Locks(null, rules, Filter(False), Filter(False), memory_floor, alone=False)


def _read(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def _try_clone() -> None:
    pid = syscalls.clone(_PID_FLAGS)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _address_space() -> int:
    """Bytes of address space that this process has (proc_pid_statm(5), first field)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE")


class _Server:
    """Answers requests, and keeps the children of the run that is under way."""

    def __init__(self, link: socket.socket, locks: Locks):
        self._link, self._locks = link, locks
        self._flags = _PID_FLAGS if locks.alone else 0
        # Process ids; 0 means that there is none.
        self._jail = self._tester = 0
        # Folders of the root file system that children may have written to.
        self._written = {rootfs.PROJECT}
        # The other ends of the tester's sockets, for later jails.
        self._ends: list[socket.socket] = []
        # The CPUs that we may use, and for how many jails the one of our choice is still shared.
        self._cpus, self._stay = os.sched_getaffinity(0), 0

    def serve(self) -> None:
        while True:
            if self._stay and not select.select([self._link], [], [], _TURN)[0]:
                self._part()
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
        limits = ChildLimits(
            request["memory_bytes"], request["cpu_seconds"], request["threads"], request["files"]
        )
        if limits.files:
            self._written.add(rootfs.TEMPORARY)
        if request["op"] != "tester":
            self._share_one_cpu()
        if request["op"] == "tester":
            self._spawn_tester(limits, descriptors[0], request["output_bytes"])
        elif request["op"] == "plain":
            self._jail = self._spawn(self._flags, jail.run_plain, limits, *descriptors)
        elif request["op"] == "script":
            self._jail = self._spawn(self._flags, jail.run_script, limits, *descriptors)
        else:
            with self._ends.pop() as end:
                body, size = jail.serve_calls, request["output_bytes"]
                self._jail = self._spawn(self._flags, body, limits, end.fileno(), size)
        return {"jail": self._jail, "tester": self._tester}

    def _spawn_tester(self, limits: ChildLimits, supervisor: int, output_bytes: int) -> None:
        pairs = [socket.socketpair() for _ in range(CHANNELS)]
        theirs = [theirs for theirs, _ in pairs]
        channels = [end.fileno() for end in theirs]
        self._tester = self._spawn(
            self._flags, tester.run, limits, channels, supervisor, output_bytes
        )
        for end in theirs:
            end.close()
        self._ends = [ours for _, ours in reversed(pairs)]

    def _share_one_cpu(self) -> None:
        """Hold this process and its children to the CPU that it was woken on.

        They take turns, and find each other's memory in that CPU's cache. Every few jails the
        scheduler may choose anew, and once a jail takes long.
        """
        if not self._stay:
            self._stay = CHANNELS
            self._hold_to({syscalls.running_cpu()}, 0, self._tester)

    def _part(self) -> None:
        """Let the scheduler move this process and its children again."""
        self._stay = 0
        self._hold_to(self._cpus, 0, self._jail, self._tester)

    def _hold_to(self, cpus: set[int], *processes: int) -> None:
        # A CPU may be taken away meanwhile, and a child may have ended.
        with contextlib.suppress(OSError):
            for process in dict.fromkeys(processes):
                os.sched_setaffinity(process, cpus)

    def _spawn(
        self, flags: int, body: Callable[..., None], limits: ChildLimits, *arguments: Any
    ) -> int:
        prepare(self._locks, limits)
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
        """How the children ended, the jail first. The fields are those of server.Ended."""
        ended = [_end(self._jail, grace)] if self._jail else []
        self._jail = 0
        for place in self._written if self._locks.alone else ():
            rootfs.clean(place)
        self._written = {rootfs.PROJECT}
        if self._stay:
            self._stay -= 1
            if not self._stay:
                self._part()
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
