"""The tables as DuckDB views through delta-rs: answers in a second, with no JVM. Read-only."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from conf.errors import SeedbedError


class DeltaReader:
    """The tables of one run. `sql` sees every existing table under its own name."""

    def __init__(self, output: str, names: tuple[str, ...]):
        self.root = output.rstrip("/")
        self._tables: dict[str, DeltaTable] = {}
        self._db = duckdb.connect()
        for name in names:
            try:
                table = DeltaTable(f"{self.root}/tables/{name}")
            except TableNotFoundError:
                continue
            self._tables[name] = table
            self._db.register(name, table.to_pyarrow_dataset())
        if not self._tables:
            raise SeedbedError(
                f"no tables under {self.root}/tables",
                "check output=DIR, or run: python -m spark_jobs run",
            )

    def __contains__(self, name: str) -> bool:
        return name in self._tables

    @property
    def names(self) -> tuple[str, ...]:
        """The tables that are there, in the order they were asked for."""
        return tuple(self._tables)

    def at(self, name: str, version: int) -> str:
        """The name under which `sql` sees a table as it was at `version`.

        Raises SeedbedError where there is no such.
        """
        newest = self._tables[name].version()
        if not 0 <= version <= newest:
            raise SeedbedError(f"{name} has no version {version}", f"give one from 0 to {newest}")
        view = f"{name}_at_{version}"
        self._db.register(
            view, DeltaTable(f"{self.root}/tables/{name}", version=version).to_pyarrow_dataset()
        )
        return view

    def sql(
        self, query: str, params: list[Any] | dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Rows as dicts.

        Values travel as bound `params` (of ? or $name), never inside the query text.
        """
        cursor = self._db.execute(query, params or [])
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def one(self, query: str, params: list[Any] | dict[str, Any] | None = None) -> dict[str, Any]:
        """The row of a `query` that always has one."""
        return self.sql(query, params)[0]

    def first(self, query: str, params: list[Any] | None = None) -> dict[str, Any] | None:
        """The first row of `query`, or None where it has none."""
        return next(iter(self.sql(query, params)), None)

    def version(self, name: str) -> int:
        return int(self._tables[name].version())

    def bytes_on_disk(self, name: str) -> int:
        """Bytes of the data files that the newest version refers to."""
        actions = self._tables[name].get_add_actions(flatten=True)
        return int(sum(actions.column("size_bytes").to_pylist()))

    def lineage(self, name: str) -> dict[str, Any]:
        """What the job that wrote the newest commit recorded in userMetadata; empty for a foreign
        commit.
        """
        text = self._newest_commit(name).get("userMetadata")
        return json.loads(text) if text else {}

    def committed_at(self, name: str) -> datetime:
        """When the newest commit was made, in UTC."""
        return datetime.fromtimestamp(self._newest_commit(name)["timestamp"] / 1000, UTC)

    def _newest_commit(self, name: str) -> dict[str, Any]:
        return self._tables[name].history(1)[0]
