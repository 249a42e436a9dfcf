"""The jails' file system: a read-only tmpfs that holds the standard library and nothing else.

The library is bound in by an open descriptor before any identity is dropped, so an interpreter below a closed home folder works.
site-packages is covered: an installed benchmark's answers must not be readable.
"""

from __future__ import annotations

import os

from .kernel import mount, pivot_root

_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18  # MS_*
_SEALED = _RDONLY | _NOSUID | _NODEV | _NOEXEC
_STAGE = "/tmp"  # any folder that exists: it is covered in this mount namespace only


def stdlib() -> str:
    """Folder of the running interpreter's standard library."""
    return os.path.dirname(os.path.realpath(os.__file__))


def enter(library: str) -> None:
    """Build the root in a fresh mount namespace and move into it. Needs CAP_SYS_ADMIN over that namespace."""
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
    os.mkdir(f"{_STAGE}/old")
    pivot_root(_STAGE, "old")
    os.rmdir("/old")
    mount(None, "/", None, _REMOUNT | _BIND | _SEALED)
