"""The fork server of compilers and programs: as fork_server.py, for commands in place of Python.

It holds no program. Requests come as JSON on a SEQPACKET socket, with descriptors attached:

    {"op": "compile"} + [channel, result]
    {"op": "run"} + [channel, stdout]
        clones a jail; what it runs comes on the channel (jail.py)
    {"op": "reap", "grace": s, "tester": false}
        as in fork_server.py

"full" gives each jail new user, pid, net, mount, ipc and uts namespaces and a root of its own.
"rlimits-only" is for hosts without namespaces: Landlock then holds a command to its toolchain and
to a folder of its own. Compilers can then start processes that outlive them until they are reaped.
"""

from __future__ import annotations

import array
import contextlib
import errno
import gc
import json
import os
import signal
import socket
import sys
from typing import Any

from .. import rootfs, syscalls
from ..fork_server import _HOME_FLAGS, _PID_FLAGS, _end, _Refused, _step
from ..kernel import landlock
from . import filters, jail, root
from .jail import NativeLocks


def main(control: int, isolation: str, sources: list[str]) -> None:
    """Serve on descriptor `control` until the supervisor closes it.

    sources: the host's paths that commands may read. A fault at the start is sent as by
    fork_server.main.
    """
    link = socket.socket(fileno=control)
    sys.argv[:] = [""]
    sys.orig_argv[:] = [""]
    os.environ.clear()
    syscalls.one_malloc_arena()
    try:
        locks = _enter(link, sources) if isolation == "full" else _enter_weakly(sources)
    except _Refused as error:
        step, number, detail = error.args
        link.send(json.dumps({"refused": step, "errno": number, "detail": detail}).encode())
        return
    link.send(b'{"ready": true}')
    gc.collect()
    gc.freeze()
    gc.disable()
    _Commands(link, locks).serve()


def _enter(link: socket.socket, sources: list[str]) -> NativeLocks:
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    _step("user, mount, net, ipc and uts namespaces", os.unshare, _HOME_FLAGS)
    link.send(b'{"unshared": true}')
    # The supervisor answers once it has written the maps of user and group ids.
    identity = json.loads(link.recv(4096))
    _step("a private root file system", root.enter, sources)
    if identity["drop"]:
        os.setgroups([])
        os.setresgid(1, 1, 1)
        os.setresuid(1, 1, 1)
    else:
        _step("dropping capabilities", syscalls.drop_capabilities)
    syscalls.not_dumpable()
    return _locks(proc, sources, alone=True)


def _enter_weakly(sources: list[str]) -> NativeLocks:
    if landlock.abi() == 0:
        raise _Refused(
            "Landlock",
            errno.ENOSYS,
            "this kernel has none, and without namespaces nothing else guards files",
        )
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    if os.geteuid() == 0 and all(map(rootfs.is_open_to_others, map(os.path.dirname, sources))):
        # This fails for the root of a container that has no other ids.
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(syscalls.JAIL_ID, syscalls.JAIL_ID, syscalls.JAIL_ID)
            os.setresuid(syscalls.JAIL_ID, syscalls.JAIL_ID, syscalls.JAIL_ID)
    _step("dropping capabilities", syscalls.drop_capabilities)
    syscalls.not_dumpable()
    return _locks(proc, sources, alone=False)


def _locks(proc: int, sources: list[str], alone: bool) -> NativeLocks:
    return NativeLocks(
        proc,
        tuple(sources),
        alone,
        filters.of_compilers(alone),
        os.geteuid(),
        os.getegid(),
        "" if alone else root.weak_box(),
    )


class _Commands:
    """Answers requests, and keeps the one jail that is under way."""

    def __init__(self, link: socket.socket, locks: NativeLocks):
        self._link, self._locks = link, locks
        self._flags = _PID_FLAGS | _HOME_FLAGS if locks.alone else 0
        self._jail = 0

    def serve(self) -> None:
        while True:
            data, ancillary, _, _ = self._link.recvmsg(4096, socket.CMSG_SPACE(8))
            if not data:
                self._reap(0)
                if not self._locks.alone:
                    root.remove(self._locks.box)
                os._exit(0)
            descriptors = array.array("i")
            for _, _, packed in ancillary:
                descriptors.frombytes(packed)
            try:
                answer = self._answer(json.loads(data), list(descriptors))
            except OSError as error:
                answer = {"error": str(error)}
            for descriptor in descriptors:
                os.close(descriptor)
            self._link.send(json.dumps(answer).encode())

    def _answer(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        if request["op"] == "reap":
            return {"ended": self._reap(request["grace"])}
        body: Any = jail.run if request["op"] == "run" else jail.compile_source
        pid = syscalls.clone(self._flags)
        if pid == 0:
            try:
                body(self._locks, *descriptors)
            except EOFError:
                os._exit(0)
            except BaseException as error:
                with contextlib.suppress(OSError):
                    os.write(descriptors[0], f"set-up: {type(error).__name__}: {error}".encode())
            finally:
                os._exit(70)
        self._jail = pid
        return {"jail": pid, "tester": 0}

    def _reap(self, grace: float) -> list[dict[str, float]]:
        if not self._jail:
            return []
        pid, self._jail = self._jail, 0
        if self._locks.alone:
            return [_end(pid, grace)]
        # Without a pid namespace a compiler's children outlive it.
        ended = _end(pid, grace)
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        for name in os.listdir(self._locks.box):
            path = f"{self._locks.box}/{name}"
            root.remove(path) if os.path.isdir(path) else os.unlink(path)
        return [ended]
