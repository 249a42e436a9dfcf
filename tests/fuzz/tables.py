"""Delta tables: the log and a Parquet file of one, damaged on the disk."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from seedbed.tables.log import commits
from seedbed.tables.writer import Writer, lineage, rows
from tests.fuzz.boundary import Boundary, folder
from tests.fuzz.mutations import damaged

_LOG = "_delta_log/00000000000000000000.json"


@cache
def _whole() -> tuple[bytes, bytes, str]:
    """(log, data, name of the data file) of a table with three rows."""
    with folder() as root:
        known = [{"task_id": f"t{i}", "place": i, "prompt": "p" * i} for i in range(3)]
        Writer(root, "pairs", "fuzz").append(known, lineage("fuzz", {"a": 1}, {}), 0)
        table = root / "tables" / "pairs"
        data = next(table.glob("*.parquet"))
        return (table / _LOG).read_bytes(), data.read_bytes(), data.name


def _packed(log: bytes, data: bytes) -> bytes:
    return struct.pack("<I", len(log)) + log + data


@st.composite
def _inputs(draw: st.DrawFn) -> bytes:
    log, data, _ = _whole()
    return _packed(draw(damaged(st.just(log))), draw(damaged(st.just(data), most=1)))


def _table(where: Path, data: bytes) -> Path:
    size = struct.unpack("<I", data[:4].ljust(4, b"\0"))[0]
    table = where / "pairs"
    (table / "_delta_log").mkdir(parents=True)
    (table / _LOG).write_bytes(data[4 : 4 + size])
    (table / _whole()[2]).write_bytes(data[4 + size :])
    return table


def _read_log(data: bytes) -> None:
    with folder() as where:
        found = list(commits(str(_table(where, data))))
    assert len(found) == 1
    assert isinstance(found[0][1], dict)


def _read_rows(data: bytes) -> None:
    with folder() as where:
        found = rows(_table(where, data), ["place"])
    # A log may add the file or not. A file has no checksum, so a flipped value is another value.
    assert len(found) in (0, 3)


LOG = Boundary("delta-log", _inputs(), _read_log, (_packed(*_whole()[:2]),))
ROWS = Boundary("delta-rows", _inputs(), _read_rows, (_packed(*_whole()[:2]),))
BOUNDARIES = (LOG, ROWS)
