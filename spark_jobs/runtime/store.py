"""The tables of the catalogue as a session reads and writes them.

Content is stored once; what the pipeline learns about it are narrow rows keyed by its hash. A read
pins a version. A write carries its lineage in Delta's `userMetadata` and is idempotent: an append
is skipped where the same step was committed before. What the logs tell is read without a session.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from conf.errors import SeedbedError
from seedbed.tables import catalog
from seedbed.tables.catalog import TableSpec
from seedbed.tables.log import commits
from spark_jobs.runtime import session


@dataclass(frozen=True)
class SparkTable:
    """A table of the catalogue, with Spark's form of its columns."""

    spec: TableSpec

    @property
    def ddl(self) -> str:
        return self.spec.ddl

    @property
    def schema(self) -> StructType:
        return _schema_of(self.spec.ddl)

    @property
    def columns(self) -> list[str]:
        return self.spec.columns

    @property
    def key(self) -> tuple[str, ...]:
        return self.spec.key


@cache
def _schema_of(ddl: str) -> StructType:
    """Over Spark Connect the server parses it, and each read of a table asks."""
    return StructType.fromDDL(ddl)


TABLES = {name: SparkTable(spec) for name, spec in catalog.TABLES.items()}


@dataclass(frozen=True)
class Commit:
    """A commit of a table: its version, its lineage, and the number of rows that it added.

    The lineage is empty for a commit that something else made.
    """

    version: int
    lineage: dict[str, Any]
    rows_added: int


class Store:
    """The tables under `root` (a path or URI), as one session sees them.

    session: gives the session. It is asked when rows are read or written for the first time, so
        that a run with nothing to do starts no engine.
    """

    def __init__(self, session: Callable[[], Any], root: str):
        self._session = session
        self.root = root.rstrip("/")

    @property
    def spark(self) -> Any:
        return self._session()

    def start(self) -> None:
        """Start the session, where none runs."""
        self._session()

    def path(self, table: str) -> str:
        if table not in TABLES:
            raise KeyError(f"{table} is not declared in seedbed/tables/catalog.py")
        return f"{self.root}/tables/{table}"

    def _engine_path(self, table: str) -> str:
        return session.engine().path(self.path(table))

    def exists(self, table: str) -> bool:
        return next(commits(self.path(table)), None) is not None

    def last_commit(self, table: str, part: dict[str, str] | None = None) -> Commit | None:
        """The newest commit of the table, or of one `part` of it; None where there is none.

        part: what a writer declared its rows to be, such as the scores of one scorer.
        """
        for commit in self._commits(table):
            if part is None or commit.lineage.get("part") == part:
                return commit
        return None

    def commit_at(self, table: str, version: int) -> Commit | None:
        """The commit that made `version`; None where the log no longer has it."""
        return next((one for one in self._commits(table) if one.version == version), None)

    def holds_rows(self, table: str) -> bool:
        """Whether some commit in the table's log has added rows."""
        return any(commit.rows_added for commit in self._commits(table))

    def _commits(self, table: str) -> Iterator[Commit]:
        """The commits in the table's log, newest first."""
        for version, info in commits(self.path(table)):
            lineage = json.loads(info.get("userMetadata") or "{}")
            rows = int(info.get("operationMetrics", {}).get("numOutputRows", 0))
            yield Commit(version, lineage, rows)

    def read(self, table: str, version: int | None = None) -> DataFrame:
        """The table at `version` (None: the newest), with exactly the declared columns.

        Raises SeedbedError where the table is missing or lacks a declared column.
        """
        if not self.exists(table):
            raise SeedbedError(
                f"table {table} does not exist at {self.path(table)}",
                f"run what writes it ({TABLES[table].spec.writer}), or check output=",
            )
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        frame = reader.load(self._engine_path(table))
        for name, kind in TABLES[table].spec.fields:
            if name in TABLES[table].spec.added and name not in frame.columns:
                frame = frame.withColumn(name, F.lit(None).cast(kind))
        self._check_schema(table, frame)
        return frame.select(*TABLES[table].columns)

    def read_or_empty(self, table: str, version: int | None = None) -> DataFrame:
        """The table as `read` gives it, or no rows where it does not exist yet."""
        if self.exists(table):
            return self.read(table, version)
        return self.spark.createDataFrame([], TABLES[table].schema)

    def append(self, table: str, rows: DataFrame, lineage: dict[str, Any], step: str) -> Commit:
        """Append `rows` in one atomic commit, and return it.

        `step` names what is appended (a shard, a batch). Of two runs that append the same step onto
        the same version only one commits: Delta skips a (txnAppId, txnVersion) that it has seen.
        Sail does not look at these, so there the run's lock alone keeps a second writer out.
        Callers keep the keys unique by an anti-join before.

        Where nothing was committed, because no row was due, the newest commit is returned with no
        rows.
        """
        last = self.last_commit(table)
        writer = (
            self._writer(table, rows, lineage)
            .mode("append")
            .option("mergeSchema", str(bool(TABLES[table].spec.added)))
        )
        writer.option("txnAppId", f"{table}/{step}").option(
            "txnVersion", (last.version if last else -1) + 1
        ).save(self._engine_path(table))
        made: Commit = self.last_commit(table)  # type: ignore[assignment]
        return replace(made, rows_added=0) if last and made.version == last.version else made

    def overwrite(self, table: str, rows: DataFrame, lineage: dict[str, Any]) -> int:
        """Replace the whole table in one atomic commit; returns the new version.

        Older versions stay readable.
        """
        writer = self._writer(table, rows, lineage).mode("overwrite")
        writer.option("overwriteSchema", "true").save(self._engine_path(table))
        return self.last_commit(table).version  # type: ignore[union-attr]

    def _writer(self, table: str, rows: DataFrame, lineage: dict[str, Any]) -> Any:
        declared = TABLES[table]
        # By the names of types: over Spark Connect a type object brings a collation along, which
        # Delta writes into the schema and delta-rs cannot read.
        frame = rows.select(
            *[F.col(name).cast(kind).alias(name) for name, kind in declared.spec.fields]
        )
        writer = frame.write.format("delta").option(
            "userMetadata", json.dumps(lineage, sort_keys=True)
        )
        partitions = declared.spec.partitions
        return writer.partitionBy(*partitions) if partitions else writer

    def _check_schema(self, table: str, frame: DataFrame) -> None:
        have = {f.name: f.dataType for f in frame.schema.fields}
        for want in TABLES[table].schema.fields:
            if want.name not in have:
                raise SeedbedError(
                    f"table {table} at {self.path(table)} lacks column {want.name!r} "
                    f"(it has: {', '.join(have)})",
                    "it was written by something else; choose another output=, or rebuild it",
                )
            if have[want.name].simpleString() != want.dataType.simpleString():
                raise SeedbedError(
                    f"table {table}: column {want.name} is {have[want.name].simpleString()}, "
                    f"must be {want.dataType.simpleString()}",
                    "it was written by something else; choose another output=, or rebuild it",
                )


def shard_of(content_sha256: Any, shards: int) -> Any:
    """Column: the leading log2(shards) bits of the hex SHA-256 `content_sha256`, as int.

    shards: a power of two, at most 65536.
    """
    return F.floor(
        F.conv(F.substring(content_sha256, 1, 4), 16, 10).cast("int") * shards / 65536
    ).cast("int")
