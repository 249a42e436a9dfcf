"""The file system of the jails: a read-only tmpfs with the standard library.

For a project it also holds the program's files. The library is bound in through an open descriptor
before any identity is dropped, so an interpreter below a closed home folder works. site-packages is
covered, because the answers of an installed benchmark must not be readable.
"""

from __future__ import annotations

import contextlib
import os
import stat
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
# Where a program may write, if it asks for temporary files. It is emptied after each run.
TEMPORARY = "/tmp"
TEMPORARY_BYTES = 16 << 20
# The few inodes bound how deep a program can nest its folders.
_TEMPORARY_LIMITS = f"size={TEMPORARY_BYTES},nr_inodes=200"


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


def enter(library: str, packages: Sequence[str]) -> None:
    """Build the root file system in a new mount namespace, and move into it.

    packages: folders and files of installed packages, which keep their places.

    It needs CAP_SYS_ADMIN over that namespace.
    """
    sources = {path: os.open(path, os.O_PATH) for path in (library, *packages)}
    mount(None, "/", None, _REC | _PRIVATE)
    mount("tmpfs", _STAGE, "tmpfs", _NOSUID | _NODEV, "size=64k,mode=755")
    # Before the packages, which may lie below TEMPORARY.
    for place, limits in ((PROJECT, "size=16m,nr_inodes=2k"), (TEMPORARY, _TEMPORARY_LIMITS)):
        os.makedirs(_STAGE + place, exist_ok=True)
        guards = _NOSUID | _NODEV | _NOEXEC
        mount("tmpfs", _STAGE + place, "tmpfs", guards, f"{limits},mode=777")
    _bind(sources.pop(library), library)
    covers = [f"{_STAGE}{library}/{name}" for name in ("site-packages", "dist-packages")]
    covers = [folder for folder in covers if os.path.isdir(folder)]
    for folder in covers:
        mount("tmpfs", folder, "tmpfs", _SEALED & ~_RDONLY, "size=64k,mode=755")
    for path, source in sources.items():
        _bind(source, path)
    for folder in covers:
        mount(None, folder, None, _REMOUNT | _BIND | _SEALED)
    os.mkdir(f"{_STAGE}/old")
    pivot_root(_STAGE, "old")
    os.rmdir("/old")
    mount(None, "/", None, _REMOUNT | _BIND | _SEALED)


def _bind(source: int, path: str) -> None:
    """Let an open folder or file appear at its own path in the new root, read-only."""
    inside = _STAGE + path
    if stat.S_ISDIR(os.fstat(source).st_mode):
        os.makedirs(inside, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(inside), exist_ok=True)
        os.close(os.open(inside, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(f"/proc/self/fd/{source}", inside, None, _BIND)
    mount(None, inside, None, _REMOUNT | _BIND | _SEALED)
    os.close(source)


def unpack(files: Sequence[tuple[str, str]]) -> str:
    """Write a program's files, whose paths are plain and relative, and give their folder."""
    for path, text in files:
        whole = f"{PROJECT}/{path}"
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "wb") as file:
            file.write(text.encode("utf-8", "surrogatepass"))
    return PROJECT


def clean(place: str) -> None:
    """Empty PROJECT of what `unpack` wrote, or TEMPORARY of what a program wrote."""
    if not os.listdir(place):
        return
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _empty(folder)
    finally:
        os.close(folder)


def _empty(folder: int) -> bool:
    """Remove all below an open folder; False where packages are bound in, which stay.

    By descriptors, since a program's paths may be too long.
    """
    device, emptied = os.fstat(folder).st_dev, True
    with os.scandir(folder) as entries:
        found = [
            (e.name, e.stat(follow_symlinks=False), e.is_dir(follow_symlinks=False))
            for e in entries
        ]
    for name, status, is_folder in found:
        # No program can mount anything, so this is a package's place.
        if status.st_dev != device:
            emptied = False
            continue
        if not is_folder:
            os.unlink(name, dir_fd=folder)
            continue
        # Its maker may have left it closed to itself.
        with contextlib.suppress(OSError):
            os.chmod(name, 0o700, dir_fd=folder)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        try:
            whole = _empty(below)
        finally:
            os.close(below)
        if whole:
            os.rmdir(name, dir_fd=folder)
        emptied &= whole
    return emptied
