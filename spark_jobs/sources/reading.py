"""What executors do with units: identify them, and read their members into rows of `files`.

Rows are built column by column from the bytes of the members. No text becomes a Python string.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict

import pyarrow as pa

from conf.schema.curate import IngestSettings
from seedbed.tables.arrow import arrow_schema, arrow_type
from seedbed.tables.catalog import TABLES, split_fields
from spark_jobs.sources import units
from spark_jobs.sources.languages import language_of
from spark_jobs.sources.members import Member, drop_reason, text_fault
from spark_jobs.sources.units import Offer, Unit

# Columns of a Unit, of an Offer, and of a member: those of `files`, and the text of kept ones.
UNIT = "source string, name string, size long"
OFFER = (
    f"{UNIT}, repo string, revision string, license string, origin_sha256 string, refused string"
)
ROW = f"{TABLES['files'].ddl}, text string"

# Bytes of text in one batch. It bounds a worker's memory.
_BATCH_BYTES = 8 << 20
# What the other columns of a row count as.
_ROW_BYTES = 500

Batches = Iterator[pa.RecordBatch]


def offers(root: str, batches: Batches, limits: IngestSettings) -> Batches:
    """One row of columns OFFER for each row of columns UNIT."""
    schema = pa.schema([(name, arrow_type(kind)) for name, kind in split_fields(OFFER)])
    for batch in batches:
        for row in batch.to_pylist():
            offer = units.identify(root, Unit(**row), limits)
            yield pa.RecordBatch.from_pylist([asdict(offer)], schema=schema)


def rows(root: str, batches: Batches, limits: IngestSettings) -> Batches:
    """One row of columns ROW for each member of the offers, which are rows of columns OFFER."""
    for batch in batches:
        for row in batch.to_pylist():
            yield from _rows_of(root, Offer(**row), limits)


def _rows_of(root: str, offer: Offer, limits: IngestSettings) -> Batches:
    """One row of columns ROW for each member of an offer that was not refused."""
    # (doc_id, path, language, bytes, content_sha256, drop_reason, bytes of the text)
    waiting: list[tuple] = []
    size = 0
    before = "\0".join((offer.source, offer.repo, offer.revision, ""))
    for member in units.members(root, offer, limits):
        doc_id = hashlib.sha256(f"{before}{member.path}".encode()).hexdigest()
        language = language_of(member.path)
        reason, raw = _content(member, language, limits.max_file_bytes)
        digest = None if raw is None else hashlib.sha256(raw).hexdigest()
        waiting.append((doc_id, member.path, language, member.size, digest, reason, raw))
        size += len(raw or b"") + _ROW_BYTES
        if size > _BATCH_BYTES:
            yield _batch(offer, waiting)
            waiting, size = [], 0
    if waiting:
        yield _batch(offer, waiting)


def _content(
    member: Member, language: str | None, max_bytes: int
) -> tuple[str | None, bytes | None]:
    """(drop_reason, None) or (None, the bytes of a text)."""
    reason = drop_reason(member, language, max_bytes)
    if reason:
        return reason, None
    try:
        raw = member.read()
    except Exception:
        # A parser of hostile bytes may raise anything; it means that this member cannot be read.
        return "unreadable", None
    fault = text_fault(raw)
    return fault, None if fault else raw


def _batch(offer: Offer, rows: list[tuple]) -> pa.RecordBatch:
    doc_ids, paths, languages, sizes, digests, reasons, raws = zip(*rows, strict=True)
    schema = arrow_schema("files").append(pa.field("text", pa.string()))
    columns = {
        "doc_id": doc_ids,
        "path": paths,
        "language": languages,
        "bytes": sizes,
        "content_sha256": digests,
        "drop_reason": reasons,
    }
    arrays = {name: pa.array(values, schema.field(name).type) for name, values in columns.items()}
    for name in ("source", "repo", "revision", "license"):
        arrays[name] = pa.repeat(pa.scalar(getattr(offer, name), pa.string()), len(rows))
    # Each was found to be UTF-8.
    arrays["text"] = pa.array(raws, pa.binary()).view(pa.string())
    return pa.record_batch([arrays[name] for name in schema.names], schema=schema)
