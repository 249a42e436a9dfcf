"""The tables that the page was read from: what a row says, rows, version, size and lineage."""

from __future__ import annotations

from report.blocks import Section, Table
from report.run import RunFolder
from seedbed.queries.status import status
from seedbed.tables.catalog import TABLES


def section(run: RunFolder) -> Section:
    db = run.tables("files")
    rows = []
    states = status(db)
    for state in states:
        reads = db.lineage(state.name).get("inputs", {})
        written = f"{db.committed_at(state.name):%Y-%m-%d %H:%M:%S}"
        inputs = ", ".join(f"{table}@{version}" for table, version in reads.items())
        rows.append(
            [
                f"{state.name}@{state.version}",
                TABLES[state.name].row,
                f"{state.rows:,}",
                f"{state.bytes / 1e6:.1f}",
                state.job,
                inputs,
                written,
            ]
        )
    head = ["table@version", "a row says", "rows", "MB", "written by", "from", "UTC"]
    stale = [f"{state.name}: {text}" for state in states for text in state.stale]
    lead = "Every commit records its job, parameters and the versions it read." + (
        f" Out of date: {'; '.join(stale)}." if stale else ""
    )
    return Section(
        "tables", "Tables", lead, [Table(head, rows, frozenset({2, 3}))], "the Delta logs"
    )
