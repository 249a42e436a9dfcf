"""Writes Delta tables through delta-rs, with no JVM beside a trainer. Spark and DuckDB read them.

A commit carries its lineage in `userMetadata` (job, code, parameters, versions of the tables read)
and Delta's own transaction mark (`txn`: application and version). Rows and mark are one atomic
commit, so a writer that was killed knows from the mark what is there. `stage` and `split` are
partitions, so that a stage that begins anew leaves the rows of the others alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from conf.errors import SeedbedError
from conf.loader import config_hash
from seedbed.stores.places import for_delta
from seedbed.tables.arrow import arrow_schema
from seedbed.tables.catalog import TABLES
from seedbed.tables.log import commits
from seedbed.tables.opening import open_table, unreadable

Row = dict[str, Any]


def lineage(
    job: str, params: dict[str, Any], inputs: dict[str, int], **more: Any
) -> dict[str, Any]:
    """The record of a commit, in the same form as that of spark_jobs (docs/architecture.md)."""
    code, known = package_version("seedbed"), {"params": params, "params_hash": config_hash(params)}
    return {"job": job, "code": code, **known, "inputs": inputs, "parts": {}, **more}


class Writer:
    """One table under `root`, as the one process that writes the rows of `app` sees it."""

    def __init__(self, root: Path, name: str, app: str):
        self._path = root / "tables" / name
        self._schema = arrow_schema(name)
        self._partitions = list(TABLES[name].partitions) or None
        self._app = app
        self._name = name

    @property
    def reached(self) -> int | None:
        """The mark of this application's newest commit; None where it never wrote."""
        table = open_table(self._path)
        return None if table is None else table.transaction_version(self._app)

    def append(self, rows: Sequence[Row], lineage: dict[str, Any], mark: int) -> bool:
        """Add `rows` and set the mark in one commit; False where the mark was reached before."""
        reached = self.reached
        if reached is not None and reached >= mark:
            return False
        self._write(rows, lineage, mark)
        return True

    def begin(self, lineage: dict[str, Any], **part: str) -> None:
        """Delete the rows of `part` (all without a part) and set the mark to 0.

        Older versions stay readable.
        """
        table = open_table(self._path)
        before = table.version() if table else None
        if table is not None:
            # A quote within a text of SQL is written twice.
            quoted = {name: value.replace("'", "''") for name, value in part.items()}
            where = " AND ".join(f"{name} = '{value}'" for name, value in quoted.items()) or None
            table.delete(where, commit_properties=self._commit(lineage, 0))
        # A delete that finds no row makes no commit, so the mark needs a commit of its own.
        if table is None or table.version() == before:
            self._write([], lineage, 0)

    def newest_lineage(self) -> dict[str, Any] | None:
        """What the newest commit recorded; None where there is no table."""
        newest = next(commits(str(self._path)), None)
        return None if newest is None else json.loads(newest[1].get("userMetadata") or "{}")

    def refuse_other_parameters(self, params: dict[str, Any]) -> None:
        """Raises SeedbedError, with both values, where the table was written with other ones.

        Rows of two parameter sets never mix.
        """
        theirs = (self.newest_lineage() or {}).get("params", params)
        differing = sorted(
            name for name in {*theirs, *params} if theirs.get(name) != params.get(name)
        )
        if differing:
            told = "; ".join(
                f"{name} was {theirs.get(name)}, is {params.get(name)}" for name in differing
            )
            raise SeedbedError(
                f"table {self._name} was written with other settings: {told}",
                f"restore them, or remove {self._path} to start anew: answers to unchanged "
                "prompts are kept",
            )

    def _write(self, rows: Sequence[Row], lineage: dict[str, Any], mark: int) -> None:
        names = self._schema.names
        whole = [{name: row.get(name) for name in names} for row in rows]
        data = pa.Table.from_pylist(whole, self._schema)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_deltalake(
                for_delta(str(self._path)),
                data,
                mode="append",
                # A table of an earlier version gets the columns that have come since.
                schema_mode="merge" if TABLES[self._name].added else None,
                partition_by=self._partitions,
                commit_properties=self._commit(lineage, mark),
            )
        except OSError as error:
            # delta-rs raises this type for faults of the disk, without an error number.
            raise SeedbedError(
                f"table {self._name} at {self._path} cannot be written: {error}",
                "free space and run again: what is committed stays, and the same command goes on "
                "from it",
            ) from error

    def _commit(self, lineage: dict[str, Any], mark: int) -> CommitProperties:
        record = {"userMetadata": json.dumps(lineage, sort_keys=True)}
        return CommitProperties(
            custom_metadata=record, app_transactions=[Transaction(self._app, mark)]
        )


def rows(path: Path, order: Sequence[str], where: Any = None) -> list[Row]:
    """All rows of the table in the folder `path`, sorted by the columns `order`.

    Raises SeedbedError where there is no table, and where it is damaged.
    """
    table = open_table(path)
    if table is None:
        raise SeedbedError(
            f"{path} holds no Delta table", "give a folder such as DIR/tables/rollouts"
        )
    try:
        found = table.to_pyarrow_dataset().to_table(filter=where)
    # pyarrow says of a damaged file that its value is wrong, or that it cannot be read.
    except (OSError, ValueError, DeltaError) as error:
        raise unreadable(str(path), error) from error
    return found.sort_by([(name, "ascending") for name in order]).to_pylist()


def is_table(path: Path) -> bool:
    """Whether the local folder `path` holds a Delta table."""
    return (path / "_delta_log").is_dir()
