"""The two bodies of a jail: one compiles, the other becomes the program.

Both receive one frame, an order (a dict with these keys), and its stdin:

    command, env     the command line and its environment; {box} stands for the jail's own folder
    files            pairs (path, bytes) of what lies in that folder
    mounts, links    pairs (number of a source, path inside), (path inside, target)
    disk, writable   bytes of the jail's file system; whether the command may write to it
    limits           name of an RLIMIT_* -> its value, soft and hard
    writes_code, counted   what the filter lets through (filters.of_programs)
    outputs          for a compiler: files or folders that are handed back, and their most bytes
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .. import syscalls, wire
from ..decoder import Decoder
from ..kernel import landlock
from ..kernel.seccomp import Filter
from . import filters, root

# Bytes of what a compiler says that are kept.
_SAID = 1 << 14


@dataclass(frozen=True)
class NativeLocks:
    """What the fork server prepares once for all jails.

    proc: descriptor of the host's /proc. sources: the host's paths.
    alone: whether each jail has namespaces of its own. box: its folder where it has none.
    user, group: of the fork server.
    """

    proc: int
    sources: tuple[str, ...]
    alone: bool
    compilers: Filter
    user: int
    group: int
    box: str = ""


def run(locks: NativeLocks, channel: int, stdout: int) -> None:
    """Body of a jail that becomes the program. Its stderr goes into the channel.

    An empty frame says that the jail is locked down, and that the program starts.
    """
    order, stdin = Decoder(wire.receive(channel, 1 << 30)).values(2)
    box, given = _prepare(locks, order, stdin)
    programs = filters.of_programs(locks.alone, order["writes_code"], order["counted"])
    wire.send(channel, b"")
    _confine(locks, order, box, [given, stdout, channel], programs)
    _execute(order, box)


def compile_source(locks: NativeLocks, channel: int, result: int) -> None:
    """Body of a jail that runs a compiler, and writes what it made into `result`.

    That is one frame: status as of waitpid, CPU seconds, peak resident bytes, what it said, and the
    outputs as pairs (path, bytes).
    """
    order, stdin = Decoder(wire.receive(channel, 1 << 30)).values(2)
    box, given = _prepare(locks, order, stdin)
    reader, writer = os.pipe()
    _confine(locks, order, box, [given, writer, writer, reader, result], locks.compilers)
    reader, result = 3, 4
    child = os.fork()
    if child == 0:
        _execute(order, box)
    # The pipe ends when the compiler and its parts have closed it.
    os.dup2(0, 1)
    os.dup2(0, 2)
    said = _said(reader, child)
    _, status, usage = os.wait4(child, 0)
    if locks.alone:
        # What a compiler left running could still write.
        _kill_others()
    try:
        outputs = tuple(_outputs(box, order["outputs"])) if status == 0 else ()
    except _BadOutput as error:
        status, said, outputs = -1, str(error).encode(), ()
    cpu = usage.ru_utime + usage.ru_stime
    rss = usage.ru_maxrss * 1024
    wire.send(result, wire.frame(1 << 30, status, cpu, rss, bytes(said), outputs))
    os._exit(0)


def _prepare(locks: NativeLocks, order: dict[str, Any], stdin: bytes) -> tuple[str, int]:
    """The jail's folder, and a descriptor of its stdin."""
    os.setsid()
    syscalls.die_with_parent()
    if locks.alone:
        syscalls.dumpable(True)
        root.map_user(locks.proc, locks.user, locks.group)
        syscalls.dumpable(False)
        return root.BOX, root.build(order, stdin)
    root.write(locks.box, order["files"])
    given = os.memfd_create("stdin")
    with open(given, "wb", closefd=False) as file:
        file.write(stdin)
    os.lseek(given, 0, os.SEEK_SET)
    return locks.box, given


def _confine(
    locks: NativeLocks, order: dict[str, Any], box: str, keep: list[int], calls: Filter
) -> None:
    """Give up all powers. `keep` become the descriptors 0, 1 and so on; all others close.

    Those from 3 on close at an execve, too.
    """
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 16) for descriptor in keep]
    for number, descriptor in enumerate(aside):
        os.dup2(descriptor, number, inheritable=number < 3)
    syscalls.close_from(len(aside))
    os.chdir(box)
    for name, value in order["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    syscalls.drop_capabilities()
    syscalls.no_new_privileges()
    if locks.alone:
        rules = landlock.ruleset_of(root.rights(order, box))
    else:
        rules = landlock.ruleset_of(_weak_rights(locks, order, box))
    if rules is not None:
        landlock.restrict(rules)
        os.close(rules)
    calls.load()


def _weak_rights(locks: NativeLocks, order: dict[str, Any], box: str) -> dict[str, int]:
    paths = [locks.sources[number] for number, _ in order["mounts"]]
    found = dict.fromkeys(paths, landlock.READ | landlock.EXECUTE)
    found[box] = landlock.EVERYTHING if order["writable"] else landlock.READ | landlock.EXECUTE
    return found


def _execute(order: dict[str, Any], box: str) -> None:
    # CPython ignores SIGPIPE, and an ignored signal stays so in the program.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    command = [word.replace("{box}", box) for word in order["command"]]
    env = {name: value.replace("{box}", box) for name, value in order["env"]}
    try:
        os.execve(command[0], command, env)
    except OSError as error:
        os.write(2, f"execve {command[0]}: {error}".encode())
        os._exit(70)


def _said(reader: int, child: int) -> bytearray:
    """What the compiler prints, to the end of it or of the compiler; the rest is thrown away."""
    said = bytearray()
    os.set_blocking(reader, False)
    ended = False
    while True:
        try:
            data = os.read(reader, 1 << 16)
        except BlockingIOError:
            if ended:
                return said
            ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
            if not ended:
                time.sleep(0.002)
            continue
        if not data:
            return said
        said += data[: _SAID - len(said)]


def _kill_others() -> None:
    """End every other process of this namespace. This one is the first, so it is spared."""
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.wait()
    except OSError:
        return


class _BadOutput(Exception):
    """The compiler left something that is not handed back. The message says what."""


def _outputs(box: str, wanted: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The files that a compiler made: regular ones only, so a link leads nowhere."""
    left = wanted["bytes"]
    for path in sorted(_files(box, wanted["path"])):
        if path in wanted["but"]:
            continue
        try:
            file = os.open(f"{box}/{path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise _BadOutput(f"the compiler left {path!r}, no plain file ({error})") from None
        size = os.fstat(file).st_size
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise _BadOutput(f"the compiler left {path!r}, no plain file")
        left -= size
        if left < 0:
            raise _BadOutput(f"the compiled program has more than {wanted['bytes']:,} bytes")
        with open(file, "rb") as opened:
            yield path, opened.read(size)


def _files(box: str, path: str) -> Iterator[str]:
    """A file by its path, or with "." all files below the folder."""
    if path != ".":
        yield path
        return
    for folder, _, names in os.walk(box):
        for name in names:
            yield os.path.relpath(f"{folder}/{name}", box)
