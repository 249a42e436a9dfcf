"""What is there: the tables of a run with their rows, versions and sizes, and which are stale."""

from __future__ import annotations

from dataclasses import dataclass

from seedbed.queries.table_html import table_html
from seedbed.tables.catalog import CURATE_TABLES
from seedbed.tables.reader import DeltaReader


@dataclass(frozen=True)
class TableState:
    """A table as it stands.

    bytes: the size of its data files.
    job: what wrote its newest commit.
    stale: which of its inputs have moved on since its newest commit, one phrase each.
    """

    name: str
    rows: int
    version: int
    bytes: int
    job: str
    stale: tuple[str, ...]

    @property
    def note(self) -> str:
        """The stale inputs in brackets, or ""."""
        return f"  ({'; '.join(self.stale)})" if self.stale else ""


class Status(list[TableState]):
    """The tables that are there, in the order of the catalogue.

    It prints as one line per table, and as HTML in a notebook. The printed form also names the
    tables of the curate line that are not there yet.
    """

    def __str__(self) -> str:
        states = {state.name: state for state in self}
        lines = [f"{'table':<15}{'rows':>12}{'version':>9}{'MB':>9}  written by"]
        for name in dict.fromkeys((*CURATE_TABLES, *states)):
            if name not in states:
                lines.append(f"{name:<15}{'-':>12}")
                continue
            s = states[name]
            figures = f"{s.rows:>12,}{s.version:>9}{s.bytes / 1e6:>9.1f}"
            lines.append(f"{name:<15}{figures}  {s.job}{s.note}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            (s.name, s.rows, s.version, f"{s.bytes / 1e6:.1f}", f"{s.job}{s.note}") for s in self
        ]
        return table_html(("table", "rows", "version", "MB", "written by"), rows)


def status(db: DeltaReader) -> Status:
    """The state of every table that is there."""
    states = Status()
    for name in db.names:
        lineage = db.lineage(name)
        # A reader of one part does not care for commits to the others.
        inputs = {
            table: seen
            for table, seen in lineage.get("inputs", {}).items()
            if table in db and table not in lineage.get("parts", {})
        }
        stale = tuple(
            f"{table} was @{seen}, is @{db.version(table)}"
            for table, seen in inputs.items()
            if db.version(table) != seen
        )
        rows = db.one(f"SELECT count(*) AS n FROM {name}")["n"]
        job = lineage.get("job", "?")
        states.append(TableState(name, rows, db.version(name), db.bytes_on_disk(name), job, stale))
    return states
