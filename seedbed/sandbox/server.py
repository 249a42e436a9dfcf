"""The supervisor's handle on one fork server.

Starts it by exec, asks it for child processes, and learns how they ended.
"""

from __future__ import annotations

import array
import json
import os
import platform
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from seedbed.sandbox.inside.syscalls import JAIL_ID, MACHINE, STACK_BYTES
from seedbed.sandbox.interpreter import Interpreter
from seedbed.sandbox.verdict import Isolation

# What the new process runs first: it takes the stack that jails need, which only exec lays out, and
# becomes the interpreter of argv[1]. A lower hard limit of the host holds.
_STACK = (
    "import os, resource, sys; hard = resource.getrlimit(resource.RLIMIT_STACK)[1]; "
    f"soft = {STACK_BYTES} if hard < 0 else min(hard, {STACK_BYTES}); "
    "resource.setrlimit(resource.RLIMIT_STACK, (soft, hard)); os.execv(sys.argv[1], sys.argv[1:])"
)
# What the new interpreter runs: it finds the package `inside` below argv[1], and nothing else.
_BOOT = (
    "import os, sys; sys.path[:] = [sys.argv[1], *filter(None, sys.path)]; "
    "kept = os.register_at_fork; os.register_at_fork = lambda **hooks: None; "
    "from inside import fork_server; "
    "os.register_at_fork = kept; del sys.path[0]; fork_server.main(*sys.argv[2:])"
)


class ServerLost(Exception):
    """The fork server is gone or its answer makes no sense. Start another one and try again."""


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    status: as os.waitpid gives it. ours: whether it was alive until we killed it.
    cpu: seconds of CPU time. rss: peak resident bytes.
    """

    status: int
    ours: bool
    cpu: float
    rss: int


class ForkServer:
    """One running fork server.

    arguments: of a subclass, whose `boot` reads them as sys.argv[4] and so on.

    Raises SeedbedError where the host does not allow the isolation.
    """

    boot = _BOOT

    def __init__(self, isolation: Isolation, interpreter: Interpreter, *arguments: str) -> None:
        if sys.platform != "linux" or platform.machine() != MACHINE:
            raise SeedbedError(
                f"The sandbox needs Linux on {MACHINE}; "
                f"this is {sys.platform} on {platform.machine()}.",
                "Run it in a Linux container or machine of that kind.",
            )
        python, description = interpreter.path, interpreter.describe()
        packages = (interpreter.packages, description.paths, description.extensions)
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # Not -I: that ignores PYTHONHASHSEED. The order of sets, and so a verdict, would then
            # differ from server to server.
            options = ["-s", "-S", "-B", "-W", "ignore", "-c", self.boot]
            self._process = subprocess.Popen(
                [
                    *(python, "-I", "-S", "-c", _STACK),
                    *(python, *options),
                    str(Path(__file__).parent),
                    str(theirs.fileno()),
                    isolation,
                    *(arguments or (json.dumps(packages),)),
                ],
                # LD_BIND_NOW: else each child looks up the same functions of libraries anew.
                env={"PYTHONHASHSEED": "0", "LD_BIND_NOW": "1"},
                cwd="/",
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        try:
            self._hello()
        except ServerLost as error:
            self.close()
            raise SeedbedError(
                f"The sandbox's fork server did not start: {error}.",
                "`python -m seedbed.sandbox check` shows what is missing.",
            ) from error
        except BaseException:
            self.close()
            raise

    def _hello(self) -> None:
        self._link.settimeout(60)
        message = self._receive()
        if message.get("unshared"):
            self._write_maps()
            message = self._receive()
        if not message.get("ready"):
            raise _refusal(message)
        self._link.settimeout(30)

    def _write_maps(self) -> None:
        """Maps user ids in the server's namespace.

        Where we may, 0 becomes ourselves and 1 an unprivileged user for the jails. Else 1 becomes
        ourselves.
        """
        folder = Path(f"/proc/{self._process.pid}")
        try:
            (folder / "gid_map").write_text(f"0 {os.getegid()} 1\n1 {JAIL_ID} 1")
            (folder / "uid_map").write_text(f"0 {os.geteuid()} 1\n1 {JAIL_ID} 1")
            drop = True
        except OSError:
            # We are not root, or root of a container that has no other ids. The jails then run as
            # ourselves, without capabilities. As user 1: one that is 0 here could not map itself
            # in a further namespace once its capabilities are gone (user_namespaces(7)).
            (folder / "setgroups").write_text("deny")
            (folder / "gid_map").write_text(f"1 {os.getegid()} 1")
            (folder / "uid_map").write_text(f"1 {os.geteuid()} 1")
            drop = False
        self._link.send(json.dumps({"drop": drop}).encode())

    def _receive(self) -> dict[str, Any]:
        try:
            data = self._link.recv(1 << 16)
        except OSError as error:
            raise ServerLost(f"no answer from the fork server ({error})") from error
        if not data:
            self._process.kill()
            assert self._process.stderr is not None
            said = self._process.stderr.read().decode("utf-8", "replace").strip()
            raise ServerLost(
                f"the fork server ended ({said.splitlines()[-1] if said else 'silently'})"
            )
        return json.loads(data)

    def spawn(self, descriptors: list[int], **request: Any) -> dict[str, int]:
        """Ask for a child. Gives the process ids of the jail and the tester; 0 means none.

        Raises ServerLost.
        """
        answer = self._ask(request, descriptors)
        if "error" in answer:
            raise ServerLost(f"no child process ({answer['error']})")
        return answer

    def reap(self, grace: float, tester: bool) -> list[Ended]:
        """End the jail, and the tester if asked. Gives how they ended, the jail first.

        grace: seconds in which the jail may still end by itself. Raises ServerLost.
        """
        answer = self._ask({"op": "reap", "grace": grace, "tester": tester}, [])
        return [Ended(**ended) for ended in answer["ended"]]

    def _ask(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        ancillary = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            if descriptors
            else []
        )
        try:
            self._link.sendmsg([json.dumps(request).encode()], ancillary)
        except OSError as error:
            raise ServerLost(f"the fork server is gone ({error})") from error
        return self._receive()

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """End the fork server and all below it."""
        self._link.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()


def _refusal(message: dict[str, Any]) -> SeedbedError:
    step = message.get("refused", "the start of the fork server")
    problem = f"This host does not allow the sandbox: {step} ({message.get('detail', message)})."
    if step == "Landlock":
        return SeedbedError(
            problem, "Use a kernel with Landlock (5.13 or later, `landlock` among the `lsm=`)."
        )
    if "standard library" in step:
        return SeedbedError(
            problem, f"Let other users read it: chmod -R o+rX {Path(os.__file__).parent}"
        )
    return SeedbedError(
        problem,
        "Allow user namespaces: `sysctl user.max_user_namespaces=15000`. On Ubuntu also "
        "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`, on old Debian "
        "`sysctl kernel.unprivileged_userns_clone=1`. In Docker start the container with "
        "`--security-opt seccomp=unconfined --security-opt apparmor=unconfined`. "
        "`python -m seedbed.sandbox check` shows each primitive. Where namespaces are not to be "
        "had and the programs are not hostile, use the weaker mode: isolation=rlimits-only.",
    )
