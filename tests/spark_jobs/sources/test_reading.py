"""Units as Arrow rows: what is kept, what is dropped, and in which order."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import asdict

import pyarrow as pa

from conf.schema.curate import IngestSettings
from seedbed.tables.arrow import arrow_schema
from spark_jobs.sources import reading, units

LIMITS = IngestSettings(max_file_bytes=1000)
MEMBERS = {
    "p/a.py": b"x = 1\n",
    "p/LICENSE": (
        b"Permission to use, copy, modify, and/or distribute this software for any purpose"
    ),
    "p/image.png": b"\x89PNG",
    "p/nul.py": b"x\0",
    "p/latin.py": "é".encode("latin-1"),
    "p/long.py": b"#" * 1001,
    "p/empty.py": b"",
    "p/ü.py": "ü = '\ufeff'\n".encode(),
}


def rows(tmp_path, limits=LIMITS):
    """(offer, table of its rows, number of batches)."""
    with zipfile.ZipFile(tmp_path / "p-1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in MEMBERS.items():
            archive.writestr(name, raw)
    root, found, _ = units.find_units(str(tmp_path))
    unit = pa.RecordBatch.from_pylist([asdict(one) for one in found])
    offers = list(reading.offers(root, iter([unit]), limits))
    batches = list(reading.rows(root, iter(offers), limits))
    return offers[0].to_pylist()[0], pa.Table.from_batches(batches), len(batches)


def test_every_member_is_one_row_with_its_text_or_the_reason_why_there_is_none(tmp_path):
    offer, table, _ = rows(tmp_path)
    assert (offer["repo"], offer["revision"], offer["license"]) == ("p", "1", "ISC")
    found = {row["path"]: row for row in table.to_pylist()}
    assert list(found) == list(MEMBERS)
    assert {path: row["drop_reason"] for path, row in found.items()} == {
        "p/a.py": None,
        "p/LICENSE": "not_code",
        "p/image.png": "not_code",
        "p/nul.py": "nul",
        "p/latin.py": "bad_utf8",
        "p/long.py": "too_large",
        "p/empty.py": "empty",
        "p/ü.py": None,
    }
    for path, row in found.items():
        raw, kept = MEMBERS[path], row["drop_reason"] is None
        assert row["text"] == (raw.decode() if kept else None)
        assert row["content_sha256"] == (hashlib.sha256(raw).hexdigest() if kept else None)
        assert row["bytes"] == len(raw)
        named = f"archives\0p\0001\0{path}"
        assert row["doc_id"] == hashlib.sha256(named.encode()).hexdigest()
        assert (row["source"], row["license"]) == ("archives", "ISC")


def test_the_columns_are_those_of_the_table_and_the_text(tmp_path):
    table = rows(tmp_path)[1]
    assert table.schema == arrow_schema("files").append(pa.field("text", pa.string()))


def test_the_size_of_batches_changes_no_row(tmp_path, monkeypatch):
    _, whole, one = rows(tmp_path)
    monkeypatch.setattr(reading, "_BATCH_BYTES", 1200)
    _, pieces, many = rows(tmp_path)
    assert (one, many) == (1, 3)
    assert pieces.equals(whole)
