"""The tables that the page was read from: rows, version, size and lineage."""

from __future__ import annotations

from report.blocks import Section, Table
from report.run import Run
from seedbed.queries.explain import table_states


def section(run: Run) -> Section:
    db = run.tables("files")
    rows = []
    for state in table_states(db):
        reads = db.lineage(state.name).get("inputs", {})
        written = f"{db.committed_at(state.name):%Y-%m-%d %H:%M:%S}"
        inputs = ", ".join(f"{table}@{version}" for table, version in reads.items())
        rows.append(
            [
                f"{state.name}@{state.version}",
                f"{state.rows:,}",
                f"{state.bytes / 1e6:.1f}",
                state.job,
                inputs,
                written,
            ]
        )
    head = ["table@version", "rows", "MB", "written by", "from", "UTC"]
    stale = [f"{state.name}: {text}" for state in table_states(db) for text in state.stale]
    lead = "Every commit records its job, parameters and the versions it read." + (
        f" Out of date: {'; '.join(stale)}." if stale else ""
    )
    return Section(
        "tables", "Tables", lead, [Table(head, rows, frozenset({1, 2}))], "the Delta logs"
    )
