"""The file system of the jails: a read-only tmpfs with the standard library.

For a project it also holds the program's files. The library is bound in through an open descriptor
before any identity is dropped, so an interpreter below a closed home folder works. site-packages is
covered, because the answers of an installed benchmark must not be readable.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from .syscalls import mount, pivot_root

# Flags MS_* of mount(2).
_RDONLY, _NOSUID, _NODEV, _NOEXEC = 1, 2, 4, 8
_REMOUNT, _BIND, _REC, _PRIVATE = 32, 4096, 16384, 1 << 18
_SEALED = _RDONLY | _NOSUID | _NODEV | _NOEXEC
# Any folder that exists. It is covered in this mount namespace only.
_STAGE = "/tmp"
# A small tmpfs of each fork server. A jail fills it before it is locked down, and reads it after.
PROJECT = "/project"


def stdlib() -> str:
    """Folder of the running interpreter's standard library."""
    return os.path.dirname(os.path.realpath(os.__file__))


def is_open_to_others(folder: str) -> bool:
    """Whether any user may read the files of a folder."""
    while os.stat(folder).st_mode & 0o1:
        if folder == "/":
            return True
        folder = os.path.dirname(folder)
    return False


def enter(library: str) -> None:
    """Build the root file system in a new mount namespace, and move into it.

    It needs CAP_SYS_ADMIN over that namespace.
    """
    source = os.open(library, os.O_PATH | os.O_DIRECTORY)
    mount(None, "/", None, _REC | _PRIVATE)
    mount("tmpfs", _STAGE, "tmpfs", _NOSUID | _NODEV, "size=64k,mode=755")
    inside = _STAGE + library
    os.makedirs(inside)
    mount(f"/proc/self/fd/{source}", inside, None, _BIND)
    mount(None, inside, None, _REMOUNT | _BIND | _SEALED)
    for name in ("site-packages", "dist-packages"):
        if os.path.isdir(f"{inside}/{name}"):
            mount("tmpfs", f"{inside}/{name}", "tmpfs", _SEALED, "size=4k,mode=755")
    os.close(source)
    os.mkdir(_STAGE + PROJECT)
    mount(
        "tmpfs",
        _STAGE + PROJECT,
        "tmpfs",
        _NOSUID | _NODEV | _NOEXEC,
        "size=16m,nr_inodes=2k,mode=777",
    )
    os.mkdir(f"{_STAGE}/old")
    pivot_root(_STAGE, "old")
    os.rmdir("/old")
    mount(None, "/", None, _REMOUNT | _BIND | _SEALED)


def unpack(files: Sequence[tuple[str, str]]) -> str:
    """Write a program's files, whose paths are plain and relative, and give their folder."""
    for path, text in files:
        whole = f"{PROJECT}/{path}"
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "wb") as file:
            file.write(text.encode("utf-8", "surrogatepass"))
    return PROJECT


def clean() -> None:
    """Remove what `unpack` wrote."""
    for folder, folders, files in os.walk(PROJECT, topdown=False):
        for name in files:
            os.remove(f"{folder}/{name}")
        for name in folders:
            os.rmdir(f"{folder}/{name}")
