"""The determinism certificate: one order-free hash per table version.

Two runs agree if and only if their lines agree.

The hash of a table is the sum of the SHA-256 of its rows (first 128 bits, two halves modulo 2**64)
together with their number. It is the same for the same rows, however they are split over files or
ordered. It is another one if a row is doubled, lost or changed. A row enters as JSON with its
columns in the order of their names. Bytes on disk, commit times and versions do not enter.
"""

from __future__ import annotations

import hashlib

from conf.errors import SeedbedError
from seedbed.tables.catalog import CURATE_TABLES
from seedbed.tables.reader import DeltaReader


def certify(output: str, wanted: list[str]) -> str:
    """One line per table (name, version, rows, hash), then the hash of them all.

    wanted: TABLE or TABLE@VERSION each; all tables where it is empty.
    """
    db = DeltaReader(output)
    lines, whole = [], hashlib.sha256()
    for name, version in [_parse(item, db) for item in wanted or db.names]:
        rows, digest = table_hash(db, name, version)
        shown = f"@{db.version(name) if version is None else version}"
        lines.append(f"{name:<15}{shown:>6}{rows:>14,}  {digest}")
        whole.update(f"{name} {digest}\n".encode())
    return "\n".join([*lines, f"{'all':<15}{'':>6}{'':>14}  {whole.hexdigest()[:32]}"])


def hashes(output: str, tables: tuple[str, ...] = CURATE_TABLES) -> dict[str, str]:
    """Table -> hash of its newest version, for those of `tables` that are there."""
    db = DeltaReader(output, tables)
    return {name: table_hash(db, name)[1] for name in db.names}


def table_hash(db: DeltaReader, name: str, version: int | None = None) -> tuple[int, str]:
    """(rows, 32 hex digits) of a table at `version`, the newest by default.

    DuckDB streams the rows, so a large table needs little memory.
    """
    view = name if version is None else db.at(name, version)
    columns = sorted(row["column_name"] for row in db.sql(f"DESCRIBE {view}"))
    row_hash = (
        f"sha256(to_json(struct_pack({', '.join(f'"{c}" := "{c}"' for c in columns)}))::VARCHAR)"
    )
    halves = [f"sum(('0x' || substr(h, {first}, 16))::UBIGINT)" for first in (1, 17)]
    total = db.one(
        f"SELECT count(*) AS n, {halves[0]} AS a, {halves[1]} AS b "
        f"FROM (SELECT {row_hash} AS h FROM {view})"
    )
    sums = [int(total[half] or 0) % 2**64 for half in ("a", "b")]
    text = f"{','.join(columns)}:{total['n']}:{sums[0]:016x}{sums[1]:016x}"
    return total["n"], hashlib.sha256(text.encode()).hexdigest()[:32]


def _parse(item: str, db: DeltaReader) -> tuple[str, int | None]:
    name, _, version = item.partition("@")
    if name not in db or (version and not version.isdigit()):
        raise SeedbedError(
            f"{item!r} is not a table of this run",
            f"give TABLE or TABLE@VERSION: {', '.join(db.names)}",
        )
    return name, int(version) if version else None
