"""The tables of a run as DuckDB views through delta-rs: read-only, with no JVM."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from conf.errors import SeedbedError
from seedbed.tables.catalog import TABLES
from seedbed.tables.log import commits
from seedbed.tables.opening import open_table


class DeltaReader:
    """The tables of one run. `sql` sees every existing table under its own name.

    output: a path or a URI. The options of an object store come from the environment
        (docs/storage.md).
    names: the tables that are wanted, all of the catalogue by default.

    Raises SeedbedError where none of them is there, and where the storage refuses.
    """

    def __init__(self, output: str, names: tuple[str, ...] = tuple(TABLES)):
        self.root = output.rstrip("/")
        self._tables: dict[str, DeltaTable] = {}
        self._db = duckdb.connect()
        for name in names:
            table = open_table(self._path(name))
            if table is None:
                continue
            self._tables[name] = table
            self._db.register(name, table.to_pyarrow_dataset())
        if not self._tables:
            raise SeedbedError(
                f"no tables under {self.root}/tables",
                "check the folder, or run: python -m spark_jobs run",
            )

    def __contains__(self, name: str) -> bool:
        return name in self._tables

    @property
    def names(self) -> tuple[str, ...]:
        """The tables that are there, in the order they were asked for."""
        return tuple(self._tables)

    def at(self, name: str, version: int) -> str:
        """The name under which `sql` sees a table as it was at `version`.

        Raises SeedbedError where the table has no such version.
        """
        view = f"{name}_at_{version}"
        self._db.register(view, self.open_version(name, version).to_pyarrow_dataset())
        return view

    def open_version(self, name: str, version: int) -> DeltaTable:
        """A table as it was at `version`. Raises SeedbedError where it has no such version."""
        newest = self._tables[name].version()
        if not 0 <= version <= newest:
            raise SeedbedError(f"{name} has no version {version}", f"give one from 0 to {newest}")
        found = open_table(self._path(name), version)
        assert found is not None
        return found

    def sql(
        self, query: str, params: list[Any] | dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """The rows of a query as dicts.

        Values travel as bound `params` (of ? or $name), never inside the text of the query.
        """
        cursor = self._db.execute(query, params or [])
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def arrow(self, query: str, params: list[Any] | dict[str, Any] | None = None) -> pa.Table:
        """The rows of a query as Arrow."""
        return self._db.sql(query, params=params).to_arrow_table()

    def one(self, query: str, params: list[Any] | dict[str, Any] | None = None) -> dict[str, Any]:
        """The first row of a query that always has one."""
        return self.sql(query, params)[0]

    def first(self, query: str, params: list[Any] | None = None) -> dict[str, Any] | None:
        """The first row of a query, or None where it has none."""
        return next(iter(self.sql(query, params)), None)

    def version(self, name: str) -> int:
        """The newest version of a table."""
        return int(self._tables[name].version())

    def bytes_on_disk(self, name: str) -> int:
        """The size of the data files of the newest version, in bytes."""
        actions = self._tables[name].get_add_actions(flatten=True)
        return int(sum(actions.column("size_bytes").to_pylist()))

    def lineage(self, name: str, version: int | None = None) -> dict[str, Any]:
        """What the job that made a commit recorded, the newest by default.

        It is {} for a commit that something else made.
        """
        text = self._commit(name, version).get("userMetadata")
        return json.loads(text) if text else {}

    def committed_at(self, name: str) -> datetime:
        """When the newest commit was made, in UTC."""
        return datetime.fromtimestamp(self._commit(name)["timestamp"] / 1000, UTC)

    def _commit(self, name: str, version: int | None = None) -> dict[str, Any]:
        """The commitInfo of a version, the newest that was opened by default; {} without one."""
        # `history` of delta-rs finds nothing under some paths (docs/log.md).
        wanted = self.version(name) if version is None else version
        return next((info for at, info in commits(self._path(name)) if at == wanted), {})

    def _path(self, name: str) -> str:
        return f"{self.root}/tables/{name}"
