"""Lists and opens the files of an input folder, on a local disk or at a URI (docs/storage.md).

Links are never followed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from conf.errors import SeedbedError
from seedbed import storage
from seedbed.stores.places import is_uri, place
from spark_jobs.sources.members import is_vcs


@dataclass(frozen=True)
class Entry:
    """One file, link or special file below the root.

    path: relative to the root, separated by '/'. size: in bytes. kind: file, link or special.
    changed: when it changed last, in nanoseconds since 1970 (ctime, which no program can set back);
        on a store, when it was written.
    """

    path: str
    size: int
    kind: str
    changed: int = 0


def state(entries: list[Entry]) -> str:
    """A hash of what a listing says of its entries: another one means that something changed."""
    lines = (f"{one.path}\0{one.size}\0{one.kind}\0{one.changed}" for one in entries)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def walk(root: str, under: str = "", recurse: bool = True) -> list[Entry]:
    """Entries below `root`/`under`, sorted by path; none where that is no folder.

    Folders of version control are left out. A link to a folder is one entry of kind link. Raises
    SeedbedError for a folder that cannot be read.
    """
    entries = (
        _walk_uri(root, under, recurse)
        if is_uri(root)
        else _walk_local(_path(root), under, recurse)
    )
    return sorted(entries, key=lambda entry: entry.path)


def open_file(root: str, path: str) -> BinaryIO:
    """A seekable reader of the file `root`/`path`.

    Raises OSError where it cannot be opened, also where a link has replaced the file.
    """
    if is_uri(root):
        return storage.files_of(root).open_reader(path)
    return os.fdopen(
        os.open(os.path.join(_path(root), path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb"
    )


def split_input(path: str) -> tuple[str, str]:
    """(root, '') for a folder, (parent, name) for a single file.

    Raises SeedbedError where there is nothing to read.
    """
    if not path:
        raise SeedbedError(
            "input is empty: nothing to ingest",
            "add input=PATH, a folder of source files or archives",
        )
    remote = is_uri(path)
    if remote:
        kind = storage.kind(path)
        found, is_file = bool(kind), kind == "file"
    else:
        path = _path(path)
        found, is_file = os.path.exists(path), os.path.isfile(path)
    if not found:
        raise SeedbedError(
            f"input {path} does not exist", "give the path of a folder of source files or archives"
        )
    if not is_file:
        if not remote and not os.access(path, os.R_OK | os.X_OK):
            raise SeedbedError(
                f"input {path} cannot be read: permission denied", f"chmod -R u+rX {path}"
            )
        return path.rstrip("/") or "/", ""
    parent, _, name = path.rpartition("/")
    return parent or ".", name


def _path(root: str) -> str:
    """A local root without `file://`."""
    return place(root).path if "://" in root else root


def _walk_local(root: str, under: str, recurse: bool) -> Iterator[Entry]:
    folder = os.path.join(root, under) if under else root
    if under and (os.path.islink(folder) or not os.path.isdir(folder)):
        return
    try:
        items = list(os.scandir(folder))
    except OSError as error:
        raise SeedbedError(
            f"folder {folder} cannot be read: {error.strerror}",
            f"chmod -R u+rX {folder}, or move it away",
        ) from error
    for item in items:
        path = f"{under}/{item.name}" if under else item.name
        if is_vcs(item.name):
            continue
        found = item.stat(follow_symlinks=False)
        mode = found.st_mode
        if stat.S_ISDIR(mode):
            if recurse:
                yield from _walk_local(root, path, recurse)
        elif stat.S_ISLNK(mode):
            yield Entry(path, 0, "link")
        elif stat.S_ISREG(mode):
            yield Entry(path, found.st_size, "file", found.st_ctime_ns)
        else:
            yield Entry(path, 0, "special")


def _walk_uri(root: str, under: str, recurse: bool) -> Iterator[Entry]:
    for info in storage.files_of(root).list(under, recurse):
        if not is_vcs(info.path):
            yield Entry(info.path, info.size, "file", info.mtime_ns)
