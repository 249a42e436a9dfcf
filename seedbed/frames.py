"""Rows that are read when they are asked for, as Arrow, pandas, Polars or DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa

from seedbed.queries.table_html import table_html

# A notebook shows so many rows of a frame, and so many characters of a value.
ROWS_SHOWN, LETTERS_SHOWN = 10, 60


class Frame:
    """Rows of a table or a query.

    It speaks Arrow's C stream interface, so `polars.DataFrame(frame)`, `pyarrow.table(frame)` and
    DuckDB's `FROM frame` take it as it is. Each conversion reads the rows anew.

    title: what a notebook writes above the rows.
    """

    def __init__(self, title: str, schema: pa.Schema, read: Callable[[], pa.RecordBatchReader]):
        self.title = title
        self.schema = schema
        self._read = read

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self.schema.names)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._read().__arrow_c_stream__(requested_schema)

    def arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        return self._read().read_all()

    def pandas(self) -> Any:
        """All rows as a pandas data frame."""
        return self.arrow().to_pandas()

    def polars(self) -> Any:
        """All rows as a Polars data frame. Seedbed does not install Polars."""
        import polars

        return polars.DataFrame(self)

    def duckdb(self) -> duckdb.DuckDBPyRelation:
        """The rows as a relation of a new DuckDB connection, read batch by batch."""
        return duckdb.connect().from_arrow(self._read())

    def rows(self) -> list[dict[str, Any]]:
        """All rows as dicts."""
        return self.arrow().to_pylist()

    def head(self, count: int) -> list[dict[str, Any]]:
        """The first `count` rows as dicts. No further batch is read."""
        found: list[dict[str, Any]] = []
        for batch in self._read():
            found += batch.slice(0, count - len(found)).to_pylist()
            if len(found) >= count:
                break
        return found

    def __len__(self) -> int:
        return sum(batch.num_rows for batch in self._read())

    def __repr__(self) -> str:
        return f"{self.title}: {', '.join(self.columns)}"

    def _repr_html_(self) -> str:
        cells = [[_short(value) for value in row.values()] for row in self.head(ROWS_SHOWN)]
        return table_html(self.columns, cells, self.title)


def _short(value: Any) -> Any:
    text = str(value)
    return value if len(text) <= LETTERS_SHOWN else f"{text[: LETTERS_SHOWN - 1]}…"
