"""Texts of JSON lines, Parquet files and data sets' folders, in parts that processes can share.

A part of JSON lines is a range of bytes: it holds the lines that begin in it. A part of a Parquet
file is a row group. What a part yields does not depend on how a file was cut.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from conf.errors import SeedbedError

# Bytes of JSON lines in one part.
PART_BYTES = 1 << 26
_ENDINGS = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet", ".arrow")
_READABLE = "give .jsonl (or .gz), .parquet or .arrow files, or a folder of them"


@dataclass(frozen=True)
class Fields:
    """Names of the columns. Empty: the id is the text's SHA-256, the split is drawn by the id."""

    text: str = "text"
    id: str = ""
    split: str = ""


@dataclass(frozen=True)
class FilePart:
    """Some rows of one file: bytes [start, end) of JSON lines, or row group `start`."""

    path: Path
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class TextRow:
    """One document. where: file:line or file:row, for errors. split: empty where no field says."""

    document_id: str
    text: str
    split: str
    where: str


def parts(inputs: Sequence[Path], part_bytes: int = PART_BYTES) -> list[FilePart]:
    """The parts of files and folders, in order of the inputs and, within a folder, of names.

    Raises:
        SeedbedError: for what is missing, unreadable or of no known kind.
    """
    out: list[FilePart] = []
    for path in (file for one in inputs for file in _files(one)):
        if path.suffix == ".parquet":
            try:
                groups = pq.ParquetFile(path).num_row_groups
            except (pa.ArrowException, OSError) as error:
                raise _unreadable(path, error) from None
            out += [FilePart(path, number) for number in range(groups)]
        elif path.suffix in (".gz", ".arrow"):
            out.append(FilePart(path))
        else:
            size = path.stat().st_size
            out += [
                FilePart(path, start, min(start + part_bytes, size))
                for start in range(0, size, part_bytes)
            ]
    return out


def rows(part: FilePart, fields: Fields) -> Iterator[TextRow]:
    """The rows of a part.

    Raises:
        SeedbedError: for the first row without a text, an id or a split, with file and place.
    """
    for where, row in _raw(part):
        text = _text_of(row, fields.text, where)
        document_id = (
            str(_value(row, fields.id, where))
            if fields.id
            else hashlib.sha256(text.encode()).hexdigest()
        )
        split = str(_value(row, fields.split, where)) if fields.split else ""
        if fields.split and split not in ("train", "val"):
            raise SeedbedError(
                f"{where}: {fields.split}={split!r} is no split", "use train and val"
            )
        yield TextRow(document_id, text, split, where)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.name.endswith(_ENDINGS) and p.is_file())
        # Beside its data, a saved data set has .json files about itself.
        data = [p for p in found if p.suffix in (".parquet", ".arrow")]
        lines = [p for p in found if ".jsonl" in p.name]
        if data and lines:
            raise SeedbedError(
                f"{path} holds both {data[0].name} and {lines[0].name}, perhaps of the same texts",
                "name the files that are meant",
            )
        if not data and not lines:
            raise SeedbedError(f"{path} holds no file of texts", _READABLE)
        return data or lines
    if not path.is_file():
        raise SeedbedError(f"there is no file {path}", "check the path")
    if not path.name.endswith(_ENDINGS):
        raise SeedbedError(f"{path} is of no known kind", _READABLE)
    return [path]


def _raw(part: FilePart) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:place, row) of each row."""
    path = part.path
    try:
        if path.suffix == ".parquet":
            table = pq.ParquetFile(path).read_row_group(part.start)
            for number, row in enumerate(table.to_pylist(), 1):
                yield f"{path}, row {number} of group {part.start}", row
        elif path.suffix == ".arrow":
            with pa.memory_map(str(path)) as source:
                # Data sets are saved as streams.
                for number, batch in enumerate(pyarrow.ipc.open_stream(source)):
                    for row in batch.to_pylist():
                        yield f"{path}, batch {number}", row
        else:
            yield from _lines(part)
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from None


def _lines(part: FilePart) -> Iterator[tuple[str, dict[str, Any]]]:
    packed = part.path.suffix == ".gz"
    with gzip.open(part.path, "rb") if packed else part.path.open("rb") as file:
        at = part.start
        if at:
            # A line that begins before the part belongs to the part before.
            file.seek(at - 1)
            at += len(file.readline()) - 1
        while packed or at < part.end:
            line = file.readline()
            if not line:
                return
            where = f"{part.path}, byte {at}"
            at += len(line)
            if line.strip():
                yield where, _row(line, where)


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SeedbedError(f"{where} is not JSON ({error})", "mend or remove that line") from None
    if not isinstance(row, dict):
        raise SeedbedError(f"{where} is no JSON object", "give one object per line")
    return row


def _value(row: dict[str, Any], name: str, where: str) -> Any:
    if row.get(name) is None:
        known = ", ".join(map(str, row)) or "nothing"
        raise SeedbedError(f"{where} has no {name!r}; it has {known}", "name a field of all rows")
    return row[name]


def _text_of(row: dict[str, Any], name: str, where: str) -> str:
    text = _value(row, name, where)
    if not isinstance(text, str):
        raise SeedbedError(
            f"{where}: {name!r} is a {type(text).__name__}, no text", "name the field of the text"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SeedbedError(
            f"{where}: {name!r} holds half a character (a lone surrogate)",
            "mend or remove that row",
        ) from error
    return text


def _unreadable(path: Path, error: Exception) -> SeedbedError:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return SeedbedError(f"{path} cannot be read ({said})", _READABLE)
