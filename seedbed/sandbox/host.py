"""Which isolation primitives this host offers. Each is tried in a process of its own."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable

from conf.errors import SeedbedError
from seedbed.sandbox.inside import syscalls
from seedbed.sandbox.inside.kernel import landlock
from seedbed.sandbox.inside.kernel.seccomp import Filter
from seedbed.sandbox.interpreter import Interpreter
from seedbed.sandbox.server import ForkServer
from seedbed.sandbox.verdict import Isolation


def primitives(interpreter: Interpreter) -> dict[str, tuple[bool, str]]:
    """Name of each primitive -> (whether the host offers it, detail).

    The full sandbox requires all of them but Landlock.
    """
    found: dict[str, tuple[bool, str]] = {}
    here = f"{sys.platform} {platform.machine()}, kernel {platform.release()}"
    right = sys.platform == "linux" and platform.machine() == syscalls.MACHINE
    found[f"Linux on {syscalls.MACHINE}"] = (right, here)
    if not right:
        return found
    for name, flag in syscalls.NAMESPACES.items():
        alone = syscalls.NAMESPACES["user"] | flag
        found[f"{name} namespace"] = _try(lambda flags=alone: syscalls.unshare(flags))  # type: ignore[misc]
    found["seccomp filter"] = _try(_filter)
    found["pidfd"] = _try(lambda: os.close(os.pidfd_open(os.getpid())))
    version = landlock.abi()
    found["Landlock"] = (
        version > 0,
        f"ABI {version}" if version else "absent: namespaces and seccomp stand alone",
    )
    found["the whole sandbox"] = _start("full", interpreter)
    found["rlimits-only"] = _start("rlimits-only", interpreter)
    return found


def _start(isolation: Isolation, interpreter: Interpreter) -> tuple[bool, str]:
    try:
        ForkServer(isolation, interpreter).close()
        return True, "started and ended"
    except SeedbedError as error:
        return False, str(error)


def _filter() -> None:
    syscalls.no_new_privileges()
    Filter(alone=True).load()


def _try(action: Callable[[], None]) -> tuple[bool, str]:
    """Run an action in a forked child, whose exit status is the errno of its failure."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            action()
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code == 0, "" if code == 0 else os.strerror(code) if 0 < code < 255 else f"status {code}"
