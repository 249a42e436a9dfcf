"""Reads and writes JSON lines, plain or .gz. Errors name file:line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError, disk_faults
from seedbed.files import whole_file

Row = dict[str, Any]

# What Python raises for bytes that are not JSON, or not UTF-8, or nested beyond its stack.
NOT_JSON = (ValueError, RecursionError)


def read(path: Path) -> Iterator[tuple[int, Row]]:
    """Yields each row after its line number, from 1. Blank lines are skipped.

    Raises SeedbedError for a file that is missing, unreadable or cut, and for a line that is not a
    JSON object. The message then begins with file:line.
    """
    for number, row in read_each(path):
        if isinstance(row, SeedbedError):
            raise row
        yield number, row


def read_each(path: Path) -> Iterator[tuple[int, Row | SeedbedError]]:
    """As `read`, but a line that is not a JSON object gives its error in place of a row."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield number, _row(line, f"{path}:{number}")
                    except SeedbedError as error:
                        yield number, error
    except FileNotFoundError:
        raise SeedbedError(f"there is no file {path}", "check the path") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SeedbedError(
            f"{path} is not a whole gzip file ({error})", "compress it again, or drop the .gz"
        ) from None
    except OSError as error:
        raise SeedbedError(
            f"{path} cannot be read ({error.strerror})", "check the path and its permissions"
        ) from None


def rows(path: Path) -> list[Row]:
    """All rows of a file; [] where there is no file. Raises SeedbedError as `read` does."""
    return [row for _, row in read(path)] if path.is_file() else []


def whole_rows(path: Path) -> list[Row]:
    """The rows of a log before the first line that a kill cut; [] where there is no file."""
    return whole_rows_of(path.read_bytes()) if path.is_file() else []


def whole_rows_of(data: bytes) -> list[Row]:
    """The rows of a log's bytes before the first line that a kill cut."""
    found: list[Row] = []
    for line in data.splitlines():
        try:
            row = json.loads(line)
        except NOT_JSON:
            break
        if not isinstance(row, dict):
            break
        found.append(row)
    return found


def keep(path: Path, wanted: Callable[[Row], bool]) -> None:
    """Rewrites a log with those of its whole rows that are `wanted`, where there is a log."""
    if path.is_file():
        write(path, filter(wanted, whole_rows(path)))


def append(path: Path, *rows: Row) -> None:
    """Adds rows to a log that one process writes.

    Raises SeedbedError where the disk is full or closed.
    """
    with disk_faults(path), path.open("ab") as file:
        file.write(b"".join(map(_line, rows)))


def write(path: Path, rows: Iterable[Row]) -> None:
    """Writes a file that appears whole or not at all. Equal rows give equal bytes, .gz or not.

    Raises SeedbedError where the file cannot be written.
    """
    with whole_file(path) as raw:
        packed = path.suffix == ".gz"
        # gzip's time stamp would give the same rows different bytes.
        file = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if packed else raw
        for row in rows:
            file.write(_line(row))
        if packed:
            file.close()


def _line(row: Row) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _row(line: bytes, where: str) -> Row:
    try:
        row = json.loads(line)
    except NOT_JSON as error:
        raise SeedbedError(f"{where} is not JSON ({error})", "mend or remove that line") from None
    if not isinstance(row, dict):
        raise SeedbedError(f"{where} is no JSON object", "give one object per line")
    return row
