"""The Delta tables that post-training writes, through delta-rs: no JVM beside a trainer. Spark and
DuckDB read them.

A commit carries the house's lineage in `userMetadata` (job, code, parameters, versions of the
tables read) and Delta's own transaction mark (`txn`: application and version), by which a writer
that was killed knows what is there: rows and mark are one atomic commit. `stage` and `split` are
partitions, so a stage that begins anew leaves the rows of the others alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import TableNotFoundError

from conf.errors import SeedbedError
from conf.loader import config_hash

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    schema: pa.Schema
    key: tuple[str, ...]
    partition: tuple[str, ...] = ()


def _schema(
    text: str = "",
    whole: str = "",
    real: str = "",
    truth: str = "",
    lists: dict[str, Any] | None = None,
) -> Any:
    """Columns by type, each a string of names: text, whole numbers, doubles, booleans; and lists by
    the type of their items.
    """
    named = ((text, pa.string()), (whole, pa.int64()), (real, pa.float64()), (truth, pa.bool_()))
    fields = [pa.field(name, kind) for names, kind in named for name in names.split()]
    return pa.schema(
        [*fields, *(pa.field(name, pa.list_(kind)) for name, kind in (lists or {}).items())]
    )


TABLES: dict[str, Table] = {
    "problems": Table(
        _schema("stage split task_id prompt code problem", real="difficulty"),
        key=("stage", "split", "task_id"),
        partition=("stage", "split"),
    ),
    "rollouts": Table(
        _schema(
            "stage task_id prompt completion verdict reason",
            whole="step place policy",
            real="reward advantage",
            truth="trains finished",
            lists={"prompt_tokens": pa.int64(), "tokens": pa.int64(), "logprobs": pa.float64()},
        ),
        key=("stage", "step", "place"),
        partition=("stage",),
    ),
    "pairs": Table(
        _schema(
            "task_id prompt chosen rejected verdict reason",
            whole="place",
            lists={
                "prompt_tokens": pa.int64(),
                "chosen_tokens": pa.int64(),
                "rejected_tokens": pa.int64(),
            },
        ),
        key=("place",),
    ),
    "synthetic": Table(
        _schema(
            "task_id document_id content_sha256 language task prompt code topic step reason detail",
            whole="first_line last_line correctness rounds tokens_in tokens_out",
            real="difficulty",
            lists={"styles": pa.string(), "test_list": pa.string()},
        ),
        key=("task_id",),
    ),
    "demonstrations": Table(
        _schema("task_id prompt response verdict reason detail problem", whole="place tokens"),
        key=("task_id", "place"),
    ),
}


def lineage(
    job: str, params: dict[str, Any], inputs: dict[str, int], **more: Any
) -> dict[str, Any]:
    """The record of a commit, in the form of spark_jobs' own (docs/architecture.md)."""
    code, known = package_version("seedbed"), {"params": params, "params_hash": config_hash(params)}
    return {"job": job, "code": code, **known, "inputs": inputs, "parts": {}, **more}


class Writer:
    """One table, as the one process that writes `app`'s rows of it sees it."""

    def __init__(self, root: Path, name: str, app: str):
        self._path, self._declared, self._app, self._name = (
            root / "tables" / name,
            TABLES[name],
            app,
            name,
        )

    @property
    def reached(self) -> int | None:
        """The mark of this application's newest commit; None where it never wrote."""
        table = open_table(self._path)
        return None if table is None else table.transaction_version(self._app)

    def append(self, rows: Sequence[Row], lineage: dict[str, Any], mark: int) -> bool:
        """Add `rows` and set the mark in one commit; False, and nothing done, where the mark has
        been reached before.
        """
        reached = self.reached
        if reached is not None and reached >= mark:
            return False
        self._write(rows, lineage, mark)
        return True

    def begin(self, lineage: dict[str, Any], **part: str) -> None:
        """Take away the rows of `part` (no part: all) and set the mark to 0. Older versions stay
        readable.
        """
        table = open_table(self._path)
        before = table.version() if table else None
        if table is not None:
            where = " AND ".join(f"{name} = '{value}'" for name, value in part.items()) or None
            table.delete(where, commit_properties=self._commit(lineage, 0))
        # where no row was there, delta-rs commits nothing
        if table is None or table.version() == before:
            self._write([], lineage, 0)

    def newest_lineage(self) -> dict[str, Any] | None:
        """What the newest commit recorded; None where there is no table."""
        table = open_table(self._path)
        return (
            None if table is None else json.loads(table.history(1)[0].get("userMetadata") or "{}")
        )

    def refuse_other_parameters(self, params: dict[str, Any]) -> None:
        """Raises SeedbedError, with both values, where the table was written with others: rows of
        two sets never mix.
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
                f"restore them, or remove {self._path} to start anew: answers to unchanged prompts are kept",
            )

    def _write(self, rows: Sequence[Row], lineage: dict[str, Any], mark: int) -> None:
        names = self._declared.schema.names
        data = pa.Table.from_pylist(
            [{name: row.get(name) for name in names} for row in rows], self._declared.schema
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partition = list(self._declared.partition) or None
        try:
            write_deltalake(
                self._path,
                data,
                mode="append",
                partition_by=partition,
                commit_properties=self._commit(lineage, mark),
            )
        except OSError as error:
            # delta-rs gives its faults of the disk this type, without a number
            raise SeedbedError(
                f"table {self._name} at {self._path} cannot be written: {error}",
                "free space and run again: what is committed stays, and the same command goes on from it",
            ) from error

    def _commit(self, lineage: dict[str, Any], mark: int) -> CommitProperties:
        record = {"userMetadata": json.dumps(lineage, sort_keys=True)}
        return CommitProperties(
            custom_metadata=record, app_transactions=[Transaction(self._app, mark)]
        )


def open_table(path: Path, version: int | None = None) -> DeltaTable | None:
    """The table in a folder, or None where there is none."""
    try:
        return DeltaTable(path, version=version)
    except TableNotFoundError:
        return None


def rows(path: Path, order: Sequence[str], where: Any = None) -> list[Row]:
    """All rows of the table in the folder `path`, sorted by the columns `order`.

    Raises SeedbedError where there is no table.
    """
    table = open_table(path)
    if table is None:
        raise SeedbedError(
            f"{path} holds no Delta table", "give a folder such as DIR/tables/rollouts"
        )
    return (
        table.to_pyarrow_dataset()
        .to_table(filter=where)
        .sort_by([(name, "ascending") for name in order])
        .to_pylist()
    )


def is_table(path: Path) -> bool:
    return (path / "_delta_log").is_dir()
