"""Texts of JSON lines, Parquet files and data sets' folders, in parts that processes can share.

A part of JSON lines is a range of bytes: it holds the lines that begin in it. A part of a Parquet
file is a row group. What a part yields does not depend on how a file was cut.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from conf.errors import SeedbedError
from seedbed import json_object

# Bytes of JSON lines in one part.
PART_BYTES = 1 << 26
_PACKED = (".gz", ".zst")
_LINES = [f"{name}{packed}" for name in (".jsonl", ".json") for packed in ("", *_PACKED)]
_ENDINGS = (*_LINES, ".parquet", ".arrow")
_READABLE = "give .jsonl (or .gz, .zst), .parquet or .arrow files, or a folder of them"


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


@dataclass(frozen=True)
class BadRow:
    """A row that is no document. problem: with its place; fix: what mends it."""

    problem: str
    fix: str


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
        elif path.suffix in (*_PACKED, ".arrow"):
            out.append(FilePart(path))
        else:
            size = path.stat().st_size
            out += [
                FilePart(path, start, min(start + part_bytes, size))
                for start in range(0, size, part_bytes)
            ]
    return out


def rows(part: FilePart, fields: Fields) -> Iterator[TextRow | BadRow]:
    """The rows of a part, each that has no text, id or split as a BadRow.

    Raises:
        SeedbedError: for a file that cannot be read to its end.
    """
    for where, row in _raw(part):
        try:
            yield _document(_row(row, where) if isinstance(row, bytes) else row, fields, where)
        except SeedbedError as error:
            yield BadRow(error.problem, error.fix)


def _document(row: dict[str, Any], fields: Fields, where: str) -> TextRow:
    text = _text_of(row, fields.text, where)
    document_id = (
        str(_value(row, fields.id, where))
        if fields.id
        else hashlib.sha256(text.encode()).hexdigest()
    )
    split = str(_value(row, fields.split, where)) if fields.split else ""
    if fields.split and split not in ("train", "val"):
        raise SeedbedError(f"{where}: {fields.split}={split!r} is no split", "use train and val")
    return TextRow(document_id, text, split, where)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.name.endswith(_ENDINGS) and p.is_file())
        # Beside its data, a saved data set has .json files about itself.
        data = [p for p in found if p.suffix in (".parquet", ".arrow") and _belongs(p)]
        _refuse_splits(path)
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


def _refuse_splits(folder: Path) -> None:
    """A saved DatasetDict has a folder for each split, and training on all would be a guess."""
    file = folder / "dataset_dict.json"
    if file.is_file():
        with json_object.shaped(file, "list of a data set's splits", _READABLE):
            splits = [str(name) for name in json_object.read(file, _READABLE)["splits"]]
        raise SeedbedError(
            f"{folder} holds the splits {', '.join(splits)} of a data set",
            "name those to train on: " + " ".join(f"{folder}/{name}" for name in splits[:3]),
        )


def _belongs(path: Path) -> bool:
    """Whether a saved data set lists the file. Results of its map and filter lie beside it."""
    state = path.with_name("state.json")
    if path.suffix != ".arrow" or not state.is_file():
        return True
    with json_object.shaped(state, "state of a data set", _READABLE):
        return path.name in [one["filename"] for one in _listed(state)]


def _listed(state: Path) -> list[dict[str, str]]:
    listed = json_object.read(state, _READABLE)["_data_files"]
    for one in listed:
        if not state.with_name(one["filename"]).is_file():
            raise SeedbedError(
                f"{state.parent} lacks {one['filename']}, which state.json names",
                "the folder is incomplete: save or fetch the data set again",
            )
    return list(listed)


def _raw(part: FilePart) -> Iterator[tuple[str, dict[str, Any] | bytes]]:
    """(file:place, row) of each row; a line is not read yet."""
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


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as file:
            yield file  # type: ignore[misc]
    elif path.suffix == ".zst":
        # Arrow's reader refuses a stream that is cut off; zstandard's own ends without a word.
        with pa.input_stream(str(path), compression="zstd") as stream:
            yield io.BufferedReader(stream)  # type: ignore[misc]
    else:
        with path.open("rb") as file:
            yield file


def _lines(part: FilePart) -> Iterator[tuple[str, bytes]]:
    packed = part.path.suffix in _PACKED
    with _opened(part.path) as file:
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
                yield where, line


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
