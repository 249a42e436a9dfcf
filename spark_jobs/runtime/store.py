"""The tables: one declaration each of columns, key and partitioning, and the store that reads and
writes them.

Content is stored once; what the pipeline learns about it are narrow rows keyed by its hash. Reads
pin a version. Writes carry lineage in Delta's `userMetadata` and are idempotent: an append is
skipped when the same step was committed before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from conf.errors import SeedbedError
from spark_jobs.runtime.delta_log import commits


@dataclass(frozen=True)
class Table:
    """A table's columns as a DDL string, the key that is unique in it, and whether it is
    partitioned by `shard`.

    added: columns that tables of earlier versions lack; they read as null there, and the next
    append adds them.
    """

    ddl: str
    key: tuple[str, ...]
    sharded: bool = True
    added: tuple[str, ...] = ()

    @property
    def schema(self) -> StructType:
        return StructType.fromDDL(self.ddl)

    @property
    def columns(self) -> list[str]:
        return self.schema.fieldNames()


TABLES: dict[str, Table] = {
    "files": Table(
        "doc_id string, source string, repo string, revision string, path string, language string, license string, "
        "bytes long, content_sha256 string, drop_reason string",
        key=("doc_id",),
        sharded=False,
    ),
    "repos": Table(
        "repo string, revision string, source string, license string, origin string, origin_sha256 string, stars int, "
        "forks int, commits int, first_commit string, last_commit string, files long, drop_reason string",
        key=("repo", "revision"),
        sharded=False,
    ),
    "contents": Table(
        "content_sha256 string, text string, bytes long, language string, shard int",
        ("content_sha256",),
    ),
    "signatures": Table(
        "content_sha256 string, signature binary, shingles int, shard int", ("content_sha256",)
    ),
    "near_misses": Table(
        "a string, b string, band int, jaccard_estimate double, jaccard double",
        key=("a", "b"),
        sharded=False,
    ),
    "near_edges": Table(
        "a string, b string, band int, jaccard_estimate double, jaccard double",
        key=("a", "b"),
        sharded=False,
    ),
    "clusters": Table(
        "content_sha256 string, cluster_id string, cluster_size int, survivor boolean, jaccard double, component_id string, "
        "shard int",
        ("content_sha256",),
    ),
    "repo_overlaps": Table(
        "repo_a string, revision_a string, repo_b string, revision_b string, kind string, common long, contents_a int, "
        "contents_b int, jaccard double, containment double",
        key=("repo_a", "revision_a", "repo_b", "revision_b"),
        sharded=False,
    ),
    "repo_clusters": Table(
        "repo string, revision string, root_hash string, contents int, cluster_id string, cluster_size int, survivor boolean, "
        "jaccard double",
        key=("repo", "revision"),
        sharded=False,
    ),
    "syntax": Table(
        "content_sha256 string, parser string, status string, has_error boolean, error_share double, functions int, "
        "classes int, comment_share double, lines int, max_line int, mean_line double, shard int",
        ("content_sha256",),
    ),
    "labels": Table(
        "content_sha256 string, oracle string, score double, readability double, modularity double, clarity double, "
        "reusability double, zero_reason string, second_score double, answer string, failure string, shard int",
        ("content_sha256", "oracle"),
        added=("answer", "failure"),
    ),
    "gold_scores": Table(
        "content_sha256 string, scorer string, engine string, label double, quality double, previous string, "
        "previous_quality double, shard int",
        ("content_sha256", "scorer", "engine"),
    ),
    "scores": Table(
        "content_sha256 string, scorer string, quality double, shard int",
        ("content_sha256", "scorer"),
    ),
    "recall": Table(
        "content_sha256 string, probability double, seed boolean, positive boolean, shard int",
        ("content_sha256",),
    ),
    "contamination": Table(
        "content_sha256 string, benchmark string, item string, ngram string, shard int",
        ("content_sha256", "benchmark"),
    ),
    "decisions": Table(
        "content_sha256 string, reason string, detail string, shard int", ("content_sha256",)
    ),
    "documents": Table(
        "document_id string, category string, parts array<struct<path: string, content_sha256: string>>, "
        "language string, license string, repo string, split string, epochs int, bytes long, quality double",
        key=("document_id",),
        sharded=False,
    ),
    "token_index": Table(
        "document_id string, epoch int, split string, shard_file string, document_number long, offset long, tokens long",
        key=("document_id", "epoch"),
        sharded=False,
    ),
    "solutions": Table(
        "task_id string, solution_sha256 string, sample string, shard int",
        ("task_id", "solution_sha256"),
    ),
    "verdicts": Table(
        "task_id string, solution_sha256 string, verdict string, reason string, cpu_seconds double, wall_seconds double, "
        "max_rss_bytes long, cpu_limit_seconds double, weakened string, shard int",
        ("task_id", "solution_sha256"),
    ),
}


@dataclass(frozen=True)
class Commit:
    """A table's newest commit: version, the lineage written with it (empty for a foreign commit),
    rows it added.
    """

    version: int
    lineage: dict[str, Any]
    rows_added: int


class Store:
    """The tables under `root` (a path or URI), as one Spark session sees them."""

    def __init__(self, spark: SparkSession, root: str):
        self.spark = spark
        self.root = root.rstrip("/")

    def path(self, table: str) -> str:
        if table not in TABLES:
            raise KeyError(f"{table} is not declared in spark_jobs/runtime/store.py")
        return f"{self.root}/tables/{table}"

    def exists(self, table: str) -> bool:
        return next(commits(self.spark, self.path(table)), None) is not None

    def last_commit(self, table: str, part: dict[str, str] | None = None) -> Commit | None:
        """The newest commit, of `part` alone where a writer declared its rows to be one (scores of
        one scorer); else None.
        """
        for version, info in commits(self.spark, self.path(table)):
            lineage = json.loads(info.get("userMetadata") or "{}")
            if part is None or lineage.get("part") == part:
                return Commit(
                    version, lineage, int(info.get("operationMetrics", {}).get("numOutputRows", 0))
                )
        return None

    def read(self, table: str, version: int | None = None) -> DataFrame:
        """The table at `version` (None: the newest), with exactly the declared columns.

        Raises SeedbedError where the table is missing or lacks a declared column.
        """
        if not self.exists(table):
            raise SeedbedError(
                f"table {table} does not exist at {self.path(table)}",
                "run the job that writes it (python -m spark_jobs status tells which), or check output=",
            )
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        frame = reader.load(self.path(table))
        for field in TABLES[table].schema.fields:
            if field.name in TABLES[table].added and field.name not in frame.columns:
                frame = frame.withColumn(field.name, F.lit(None).cast(field.dataType))
        self._check_schema(table, frame)
        return frame.select(*TABLES[table].columns)

    def read_or_empty(self, table: str, version: int | None = None) -> DataFrame:
        """`read`, or no rows of the declared schema where the table does not exist yet."""
        if self.exists(table):
            return self.read(table, version)
        return self.spark.createDataFrame([], TABLES[table].schema)

    def append(self, table: str, rows: DataFrame, lineage: dict[str, Any], step: str) -> int:
        """Append `rows` in one atomic commit; returns the new version.

        `step` names what is appended (a shard, a batch). Of two runs that append the same step onto
        the same version only
        one commits: Delta skips a (txnAppId, txnVersion) it has seen. Callers keep keys unique by
        anti-joining first.
        """
        last = self.last_commit(table)
        writer = (
            self._writer(table, rows, lineage)
            .mode("append")
            .option("mergeSchema", str(bool(TABLES[table].added)))
        )
        writer.option("txnAppId", f"{table}/{step}").option(
            "txnVersion", (last.version if last else -1) + 1
        ).save(self.path(table))
        return self.last_commit(table).version  # type: ignore[union-attr]

    def overwrite(self, table: str, rows: DataFrame, lineage: dict[str, Any]) -> int:
        """Replace the whole table in one atomic commit; returns the new version.

        Older versions stay readable.
        """
        self._writer(table, rows, lineage).mode("overwrite").option("overwriteSchema", "true").save(
            self.path(table)
        )
        return self.last_commit(table).version  # type: ignore[union-attr]

    def _writer(self, table: str, rows: DataFrame, lineage: dict[str, Any]) -> Any:
        declared = TABLES[table]
        frame = rows.select(
            *[F.col(f.name).cast(f.dataType).alias(f.name) for f in declared.schema.fields]
        )
        writer = frame.write.format("delta").option(
            "userMetadata", json.dumps(lineage, sort_keys=True)
        )
        return writer.partitionBy("shard") if declared.sharded else writer

    def _check_schema(self, table: str, frame: DataFrame) -> None:
        have = {f.name: f.dataType for f in frame.schema.fields}
        for want in TABLES[table].schema.fields:
            if want.name not in have:
                raise SeedbedError(
                    f"table {table} at {self.path(table)} lacks column {want.name!r} (it has: {', '.join(have)})",
                    "it was written by something else; choose another output=, or rebuild it",
                )
            if have[want.name].simpleString() != want.dataType.simpleString():
                raise SeedbedError(
                    f"table {table}: column {want.name} is {have[want.name].simpleString()}, "
                    f"must be {want.dataType.simpleString()}",
                    "it was written by something else; choose another output=, or rebuild it",
                )


def shard_of(content_sha256: Any, shards: int) -> Any:
    """Column: the leading log2(shards) bits of the hex SHA-256 `content_sha256`, as int. `shards`
    <= 65536.
    """
    return F.floor(
        F.conv(F.substring(content_sha256, 1, 4), 16, 10).cast("int") * shards / 65536
    ).cast("int")
