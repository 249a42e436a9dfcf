"""JSON lines in and out: plain or .gz, faults named as file:line, output that appears whole or not
at all.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError


def read(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, row) of each line that is not blank. Raises SeedbedError."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _row(line, f"{path}:{number}")
    except FileNotFoundError:
        raise SeedbedError(f"There is no file {path}.", "Check the path.") from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise SeedbedError(
            f"{path} is not a whole gzip file ({error}).", "Compress it again, or drop the .gz."
        ) from None
    except OSError as error:
        raise SeedbedError(
            f"{path} cannot be read ({error.strerror}).", "Check the path and its permissions."
        ) from None


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        # also bad UTF-8
        raise SeedbedError(f"{where} is not JSON ({error}).", "Mend or remove that line.") from None
    if not isinstance(row, dict) or not isinstance(row.get("task_id"), str | int):
        raise SeedbedError(
            f"{where} has no `task_id`.",
            "Give each line an object with a task_id, a text or a number.",
        )
    return row


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows to a temporary file beside `path`, then rename it. Raises SeedbedError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise SeedbedError(
            f"{path} cannot be written ({error.strerror}).", "Choose a folder you can write to."
        ) from None
    try:
        with open(handle, "wb") as raw:
            # mtime 0: the same rows give the same bytes
            packed = (
                gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0)
                if path.suffix == ".gz"
                else raw
            )
            with io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as file:  # type: ignore[type-var]
                for row in rows:
                    file.write(json.dumps(row) + "\n")
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        os.unlink(name)
        raise SeedbedError(
            f"{path} cannot be written ({error.strerror}).",
            "Free some space, or choose another disk.",
        ) from None
    except BaseException:
        os.unlink(name)
        raise
