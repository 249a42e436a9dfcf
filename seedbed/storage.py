"""Plain files beside the tables, on a local path or on an object store or HDFS.

They are config records, metrics, scorers and token shards. `root` is a path or a URI
(docs/storage.md). Every write is atomic: a reader sees the old file or the new one.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from conf.errors import SeedbedError
from seedbed.stores.files import FileStore
from seedbed.stores.places import Place, place
from seedbed.stores.settings import current


def files_of(root: str) -> FileStore:
    """The files below `root`.

    Raises SeedbedError for an unknown scheme, or where the package for it is missing.
    """
    where = place(root)
    return _store(where, current() if where.scheme else None)


# A client holds connections, so each place has one, and another where the settings changed.
@lru_cache(maxsize=64)
def _store(where: Place, settings: Any) -> FileStore:
    if not where.scheme:
        from seedbed.stores.local import LocalFiles

        return LocalFiles(where.path)
    if where.scheme == "hdfs":
        from seedbed.stores.hadoop import HadoopFiles

        return HadoopFiles(where)
    from seedbed.stores.objects import ObjectFiles

    return ObjectFiles(where)


def write_text(root: str, name: str, text: str) -> None:
    """Write DIR/name in one step: a reader sees the old text or the new one."""
    files_of(root).write(name, text.encode())


def read_text(root: str, name: str) -> str | None:
    """DIR/name, or None where it does not exist. Raises SeedbedError where it is no text."""
    data = files_of(root).read(name)
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError as error:
        raise SeedbedError(
            f"{root}/{name} is damaged: it is not UTF-8 ({error})", "restore it, or remove it"
        ) from None


def read_file(path: str) -> bytes | None:
    """The file at a whole path or URI, or None where it does not exist."""
    folder, _, name = str(place(path)).rpartition("/")
    return files_of(folder or "/").read(name)


def kind(path: str) -> str:
    """What a whole path or URI is: file, folder, or "" for nothing.

    On an object store a folder is there where a file is in it.

    Raises SeedbedError where the store cannot be asked.
    """
    folder, _, name = str(place(path)).rpartition("/")
    # Above a bucket there is nothing to ask.
    if place(path).path.strip("/") and files_of(folder or "/").size(name) is not None:
        return "file"
    return "folder" if files_of(path).is_folder("") else ""


def exists(root: str, name: str) -> bool:
    """Whether DIR/name is a file."""
    return files_of(root).size(name) is not None


def file_sizes(root: str, folder: str) -> dict[str, int]:
    """Name -> bytes of the files directly inside DIR/folder; empty where it does not exist."""
    found = files_of(root).list(folder, recurse=False)
    return {info.path.rpartition("/")[2]: info.size for info in found}


def find(root: str, pattern: str) -> list[str]:
    """The files under DIR whose path matches, sorted. `*` and `?` stay within one name."""
    parts = pattern.split("/")
    fixed = next((i for i, part in enumerate(parts) if "*" in part or "?" in part), len(parts) - 1)
    folder = "/".join(parts[:fixed])
    found = files_of(root).list(folder, recurse=fixed < len(parts) - 1)
    return [info.path for info in found if _matches(info.path.split("/"), parts)]


def _matches(names: list[str], parts: list[str]) -> bool:
    return len(names) == len(parts) and all(map(fnmatchcase, names, parts))


def delete(root: str, name: str) -> None:
    """Remove DIR/name, if it is there."""
    files_of(root).delete(name)


def delete_folder(root: str, name: str) -> None:
    """Remove the folder DIR/name and all in it, if it is there."""
    files_of(root).delete_folder(name)


def append_json_line(root: str, name: str, row: dict[str, Any]) -> None:
    """Add one line to a small JSON-lines file (one writer: the driver)."""
    write_text(root, name, (read_text(root, name) or "") + json.dumps(row, sort_keys=True) + "\n")
