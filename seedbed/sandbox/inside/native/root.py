"""The file systems of compilers and programs.

The fork server binds all that any language may need below /given. Each jail then makes a root of
its own, a new tmpfs, with the few of them that its command needs, its files and its stdin. Nothing
of one jail is ever seen by another.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from typing import Any

from ..kernel import landlock
from ..syscalls import mount, pivot_root

# Flags MS_* of mount(2).
_RDONLY, _NOSUID, _NODEV = 1, 2, 4
_REMOUNT, _BIND, _REC, _PRIVATE = 32, 4096, 16384, 1 << 18
# Any folder that exists. It is covered in this mount namespace only.
_STAGE = "/tmp"
_JAIL = "/jail"
# The folder of a jail's own files, where the command starts.
BOX = "/box"


def enter(sources: Sequence[str]) -> None:
    """Move the fork server into a root that holds the sources only, as /given/0, /given/1, ...

    Needs CAP_SYS_ADMIN over a new mount namespace.
    """
    held = [os.open(path, os.O_PATH) for path in sources]
    mount(None, "/", None, _REC | _PRIVATE)
    mount("tmpfs", _STAGE, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    os.mkdir(f"{_STAGE}/given")
    for number, descriptor in enumerate(held):
        inside = f"{_STAGE}/given/{number}"
        # Not by its path, which the stage may have covered.
        _place(inside, stat.S_ISDIR(os.fstat(descriptor).st_mode))
        mount(f"/proc/self/fd/{descriptor}", inside, None, _BIND)
        mount(None, inside, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
        os.close(descriptor)
    for name in (_JAIL, "/old"):
        os.mkdir(_STAGE + name)
    pivot_root(_STAGE, "old")
    os.rmdir("/old")
    mount(None, "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def _place(path: str, is_folder: bool) -> None:
    """An empty folder or file to mount something on."""
    if is_folder:
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o444))


def map_user(proc: int, user: int, group: int) -> None:
    """Give this process, which is in a new user namespace, the user and group 1 there.

    Without one it could create no file. proc: descriptor of the host's /proc. user, group: what the
    process is in the fork server's namespace.
    """
    outside = {"setgroups": "deny", "gid_map": f"1 {group} 1", "uid_map": f"1 {user} 1"}
    for name, text in outside.items():
        file = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
        os.write(file, text.encode())
        os.close(file)


def build(order: dict[str, Any], stdin: bytes) -> int:
    """Build this jail's root and move into it. Gives a descriptor of its stdin.

    order: see jail.py. /box stays writable where the order says so.
    """
    mount("tmpfs", _JAIL, "tmpfs", _NOSUID | _NODEV, f"size={order['disk']},nr_inodes=4k,mode=755")
    for number, target in order["mounts"]:
        given = f"/given/{number}"
        _place(_JAIL + target, os.path.isdir(given))
        mount(given, _JAIL + target, None, _BIND)
    for path, target in order["links"]:
        if not os.path.lexists(_JAIL + path):
            os.symlink(target, _JAIL + path)
    for name in (BOX, "/dev", "/old"):
        os.makedirs(_JAIL + name, exist_ok=True)
    write(_JAIL + BOX, order["files"])
    write(_JAIL, (("dev/stdin", stdin),))
    pivot_root(_JAIL, "old")
    os.rmdir("/old")
    if not order["writable"]:
        mount(None, "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    return os.open("/dev/stdin", os.O_RDONLY)


def write(folder: str, files: Sequence[tuple[str, bytes]]) -> None:
    """Write files, whose paths are plain and relative, below a folder. Each may be executed."""
    for path, data in files:
        whole = f"{folder}/{path}"
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755), "wb") as file:
            file.write(data)


def rights(order: dict[str, Any], box: str) -> dict[str, int]:
    """Landlock's rights by path, in a root that `build` made."""
    inside = [target for _, target in order["mounts"]]
    inside += [path for path, _ in order["links"] if os.path.isdir(path)]
    readable = dict.fromkeys([*inside, "/dev/stdin", box], landlock.READ | landlock.EXECUTE)
    if order["writable"]:
        readable[box] = landlock.EVERYTHING
    return readable


def weak_box() -> str:
    """A new folder on the host for one command, where there are no namespaces."""
    return tempfile.mkdtemp(prefix="seedbed-", dir=_STAGE)


def remove(box: str) -> None:
    shutil.rmtree(box, ignore_errors=True)
