"""Local copies of files at a URI, for libraries that open paths alone."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from seedbed.stores.places import place


def local_file(path: str) -> Path:
    """The file at `path` on this machine: itself, or a copy that ends with this process.

    A file that does not exist is a path that does not exist.
    """
    where = place(path)
    return Path(path if "://" not in path else where.path) if not where.scheme else _copied(path)


@cache
def _copied(uri: str) -> Path:
    from seedbed.storage import read_file

    data = read_file(uri)
    folder = Path(tempfile.mkdtemp(prefix="seedbed-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = folder / uri.rpartition("/")[2]
    if data is not None:
        copy.write_bytes(data)
    return copy
