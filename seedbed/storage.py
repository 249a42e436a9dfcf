"""Plain files beside the tables, on a local path or on any URI that Arrow can open.

They are config records, metrics and token shards.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from pyarrow import fs


def open_root(root: str) -> tuple[fs.FileSystem, str]:
    """The file system that holds `root`, and the path of `root` inside it. A plain path is local.

    `s3a://` is Hadoop's name for what Arrow calls `s3://`.
    """
    if "://" in root:
        return fs.FileSystem.from_uri(re.sub("^s3a://", "s3://", root))
    return fs.LocalFileSystem(), os.path.abspath(root)


def write_text(root: str, name: str, text: str) -> None:
    """Write DIR/name in one step: a reader sees the old text or the new one."""
    system, base = open_root(root)
    path = f"{base}/{name}"
    system.create_dir(os.path.dirname(path), recursive=True)
    with system.open_output_stream(f"{path}.tmp") as out:
        out.write(text.encode())
    system.move(f"{path}.tmp", path)


def read_text(root: str, name: str) -> str | None:
    """DIR/name, or None where it does not exist."""
    system, base = open_root(root)
    if system.get_file_info(f"{base}/{name}").type != fs.FileType.File:
        return None
    with system.open_input_stream(f"{base}/{name}") as stream:
        return stream.read().decode()


def exists(root: str, name: str) -> bool:
    """Whether DIR/name is a file."""
    system, base = open_root(root)
    return bool(system.get_file_info(f"{base}/{name}").type == fs.FileType.File)


def file_sizes(root: str, folder: str) -> dict[str, int]:
    """Name -> bytes of the files directly inside DIR/folder; empty where it does not exist."""
    system, base = open_root(root)
    listing = system.get_file_info(fs.FileSelector(f"{base}/{folder}", allow_not_found=True))
    return {info.base_name: info.size for info in listing if info.type == fs.FileType.File}


def delete(root: str, name: str) -> None:
    """Remove DIR/name, if it is there."""
    system, base = open_root(root)
    if system.get_file_info(f"{base}/{name}").type == fs.FileType.File:
        system.delete_file(f"{base}/{name}")


def delete_folder(root: str, name: str) -> None:
    """Remove the folder DIR/name and all in it, if it is there."""
    system, base = open_root(root)
    if system.get_file_info(f"{base}/{name}").type == fs.FileType.Directory:
        system.delete_dir(f"{base}/{name}")


def append_json_line(root: str, name: str, row: dict[str, Any]) -> None:
    """Add one line to a small JSON-lines file (one writer: the driver)."""
    write_text(root, name, (read_text(root, name) or "") + json.dumps(row, sort_keys=True) + "\n")
