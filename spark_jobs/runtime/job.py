"""What every job shares: the command line, pinned reads, writes with lineage, resume, progress and
the summary line.

A job is a value: `ShardJob` (one narrow row per content, committed shard by shard), `TableJob`
(whole tables rewritten when an input changed) or a `CustomJob` (its own `run`). The file that
defines one ends with `run_cli(lambda argv: main(JOB, argv))`, so it runs under `spark-submit
spark_jobs/<job>.py --config ... [key=value]` and inside `python -m spark_jobs run`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from importlib.metadata import version as package_version
from itertools import count
from operator import and_
from typing import Any

from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from tqdm import tqdm

from conf.errors import SeedbedError
from conf.loader import cli_parser, config_hash, load, to_yaml
from conf.schema.curate import CurateConfig
from seedbed import storage
from spark_jobs.runtime import session
from spark_jobs.runtime.store import TABLES, Store

# keys that every task may hold
FEW = 50_000
# bytes
TEXT_A_PARTITION = 128 << 20
# the driver keeps a record of each; above 4 TB of text they grow instead
MOST_PARTITIONS = 32_768


@dataclass(frozen=True)
class Summary:
    """What a run of a job did.

    `rows_out` + the values of `dropped` account for `rows_in`, where the job drops rows.
    """

    job: str
    rows_in: int
    rows_out: int
    dropped: dict[str, int] = field(default_factory=dict)
    bytes_in: int = 0
    # table -> version written
    tables: dict[str, int] = field(default_factory=dict)
    # figures of this job's own, kept in metrics.jsonl
    notes: dict[str, Any] = field(default_factory=dict)

    def line(self, seconds: float) -> str:
        """`job  in -> out  dropped by reason  seconds  MB/s  table@version`."""
        parts = [f"{self.job:<18} {self.rows_in:,} in -> {self.rows_out:,} out"]
        parts += [f"{reason} {count:,}" for reason, count in sorted(self.dropped.items())]
        parts.append(f"{seconds:.1f} s")
        if self.bytes_in:
            parts.append(f"{self.bytes_in / 1e6 / max(seconds, 1e-9):.1f} MB/s")
        parts += [f"{table}@{version}" for table, version in self.tables.items()]
        return "  ".join(parts)


class Inputs:
    """Tables by name at the version they had when the job first read them."""

    def __init__(self, store: Store):
        self._store = store
        self._versions: dict[str, int] = {}

    def __getitem__(self, table: str) -> DataFrame:
        return self._store.read(table, self.version(table))

    def get(self, table: str) -> DataFrame:
        """The table, or no rows where it has never been written."""
        return self[table] if self.version(table) >= 0 else self._store.read_or_empty(table)

    def version(self, table: str) -> int:
        """The pinned version; -1 for a table that does not exist."""
        if table not in self._versions:
            commit = self._store.last_commit(table)
            self._versions[table] = commit.version if commit else -1
        return self._versions[table]

    def repin(self, table: str) -> None:
        """Forget a pin, after the job itself has written the table."""
        self._versions.pop(table, None)


@dataclass(frozen=True)
class Context:
    """All that a job may touch."""

    cfg: CurateConfig
    store: Store
    inputs: Inputs
    # figures that a transform leaves for the summary
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def spark(self) -> Any:
        return self.store.spark

    def size_shuffles(self) -> None:
        """Raise the session's shuffle partitions to one for each TEXT_A_PARTITION of `contents`, at
        most MOST_PARTITIONS.

        So a task's share of the text fits its memory, whatever the corpus; where less is moved,
        Spark joins partitions (AQE).
        """
        size = self.inputs["contents"].agg(F.sum("bytes")).first()[0] or 0
        wanted = min(-(-size // TEXT_A_PARTITION), MOST_PARTITIONS)
        if wanted > int(self.spark.conf.get("spark.sql.shuffle.partitions")):
            self.spark.conf.set("spark.sql.shuffle.partitions", str(wanted))

    @contextmanager
    def materialize(self, job: str) -> Iterator[Callable[[DataFrame, str], DataFrame]]:
        """`hold(frame, step)`: `frame`, computed once, as files under DIR/curate/held/<job> that go
        with the block; where it was killed, with the job's next.

        Their size known, Spark broadcasts a small one and leaves texts unshuffled. A cached frame
        would do that too, but its plan is part of each plan made from it, at every level twice
        (before and after AQE): ten levels made 173 MB of text a plan, and the driver ran out of
        memory. The plan of a file is a leaf. Nor does it end with the executor that held it.
        """
        folder = f"curate/held/{job}"
        storage.delete_folder(self.store.root, folder)
        number = count()

        def hold(frame: DataFrame, step: str) -> DataFrame:
            self.spark.sparkContext.setJobDescription(f"{job}: {step}")
            path = f"{self.store.root}/{folder}/{next(number)}"
            frame.write.parquet(path)
            return self.spark.read.schema(frame.schema).parquet(path)

        try:
            yield hold
        finally:
            storage.delete_folder(self.store.root, folder)

    def lineage(
        self,
        job: str,
        params: dict[str, Any],
        reads: tuple[str, ...],
        parts: dict[str, dict[str, str]] | None = None,
    ) -> dict[str, Any]:
        """The record that travels in each commit's userMetadata.

        parts: of these inputs only a declared part is read, so that only the newest commit of that
        part counts.
        """
        inputs = {table: self.inputs.version(table) for table in reads}
        for table, part in (parts or {}).items():
            commit = self.store.last_commit(table, part)
            inputs[table] = commit.version if commit else -1
        return {
            "job": job,
            "code": package_version("seedbed"),
            "params": params,
            "params_hash": config_hash(params),
            "inputs": inputs,
            "parts": parts or {},
        }

    def refuse_other_params(self, table: str, lineage: dict[str, Any]) -> None:
        """Two parameter sets never mix in a table, or in a part of it: refuse with both named, or
        start anew if asked by name.
        """
        part = lineage.get("part")
        last = self.store.last_commit(table, part)
        if last is None or last.lineage.get("params_hash") == lineage["params_hash"]:
            return
        if table not in self.cfg.rebuild:
            where = (
                f" ({', '.join(f'{name} {value}' for name, value in part.items())})" if part else ""
            )
            raise SeedbedError(
                f"table {table}{where} was written with {last.lineage.get('params')}, the config asks for {lineage['params']}: "
                "rows of two parameter sets must not mix",
                f"restore the old setting, choose another output=, or add rebuild=[{table}] to write "
                + ("these rows anew" if part else "the table anew"),
            )
        rows = self.store.read_or_empty(table)
        others = (
            rows.filter(~reduce(and_, [F.col(k) == v for k, v in part.items()]))
            if part
            else rows.limit(0)
        )
        self.store.overwrite(table, others, lineage)


@dataclass(frozen=True)
class ShardJob:
    """One row per due content, appended shard by shard: killed and started again it does only what
    is missing.
    """

    name: str
    output: str
    # what the rows depend on besides the content
    params: Callable[[Context], dict[str, Any]]
    # due rows of some shards -> rows of `output`
    transform: Callable[[DataFrame, Context], DataFrame]
    reads: tuple[str, ...] = ("contents",)
    due: Callable[[Context], DataFrame] = lambda ctx: ctx.inputs[
        "contents"
        # has the output's key columns, shard, bytes
    ]
    # key columns all rows of a run share
    part: Callable[[Context], dict[str, str]] | None = None
    # missing rows up to which all shards are one commit: where a row costs less than a commit does
    at_once: int = 0

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.output,)

    def run(self, ctx: Context) -> Summary | None:
        """Process what `output` lacks; None where it lacks nothing."""
        params = self.params(ctx)
        lineage = ctx.lineage(self.name, params, self.reads) | (
            {"part": self.part(ctx)} if self.part else {}
        )
        ctx.refuse_other_params(self.output, lineage)
        missing = self._missing(ctx)
        plan = (
            missing.groupBy("shard")
            .agg(F.count("*").alias("n"), F.sum("bytes").alias("size"))
            .orderBy("shard")
            .collect()
        )
        if not plan:
            # nothing due at all: the table still exists, with no rows
            if not ctx.store.exists(self.output):
                ctx.store.overwrite(self.output, ctx.store.read_or_empty(self.output), lineage)
            return None
        each = [[part["shard"]] for part in plan]
        if sum(part["n"] for part in plan) <= self.at_once:
            each = [[part["shard"] for part in plan]]
        rows_in = {part["shard"]: part["n"] for part in plan}
        rows_out, version = 0, -1
        with tqdm(
            total=sum(p["n"] for p in plan),
            desc=self.name,
            unit=" rows",
            mininterval=1,
            leave=False,
        ) as bar:
            for shards in each:
                ctx.spark.sparkContext.setJobDescription(
                    f"{self.name}: shard {', '.join(map(str, shards[:5]))}"
                )
                with self._missing_of(ctx, shards) as due:
                    rows = self.transform(due, ctx)
                    # One name for all shards where a commit may hold them all: two writers meet,
                    # whoever has fewer rows.
                    step = "rows" if self.at_once else f"shard-{shards[0]}"
                    version = ctx.store.append(self.output, rows, lineage, step)
                rows_out += ctx.store.last_commit(self.output).rows_added
                bar.update(sum(rows_in[shard] for shard in shards))
        return Summary(
            self.name,
            rows_in=sum(p["n"] for p in plan),
            rows_out=rows_out,
            bytes_in=sum(p["size"] or 0 for p in plan),
            tables={self.output: version},
        )

    def _missing(self, ctx: Context) -> DataFrame:
        """The due rows that `output` lacks, of all shards."""
        # nothing to be joined with, so no text is shuffled for it
        if not ctx.store.exists(self.output):
            return self.due(ctx)
        have = ctx.store.read_or_empty(self.output).select(*self._key, "shard")
        return self.due(ctx).join(have, [*self._key, "shard"], "left_anti")

    @contextmanager
    def _missing_of(self, ctx: Context, shards: list[int]) -> Iterator[DataFrame]:
        """Those of some shards. Where they are few their keys are found first, and go to the texts;
        else all texts of a shard would be shuffled to meet the keys that `output` has.
        """
        here = F.col("shard").isin(shards)
        missing = self._missing(ctx).filter(here)
        keys = missing.select(*self._key, "shard").persist()
        try:
            if ctx.store.exists(self.output) and keys.count() <= FEW:
                yield (
                    self.due(ctx)
                    .filter(here)
                    .join(F.broadcast(keys), [*self._key, "shard"], "left_semi")
                )
            else:
                yield missing
        finally:
            keys.unpersist()

    @property
    def _key(self) -> tuple[str, ...]:
        return TABLES[self.output].key


@dataclass(frozen=True)
class TableJob:
    """Whole tables, rewritten when an input version or a parameter changed.

    The last table written marks completion.
    """

    name: str
    writes: tuple[str, ...]
    params: Callable[[Context], dict[str, Any]]
    transform: Callable[
        [Context], Iterator[tuple[str, DataFrame]]
        # yields (table, rows); each is written before the next
    ]
    reads: tuple[str, ...]
    summarize: Callable[[Context], Summary]
    # input -> the only part of it that is read
    parts: Callable[[Context], dict[str, dict[str, str]]] = lambda ctx: {}

    def run(self, ctx: Context) -> Summary | None:
        """Rewrite the tables; None where nothing they depend on changed."""
        lineage = ctx.lineage(self.name, self.params(ctx), self.reads, self.parts(ctx))
        last = ctx.store.last_commit(self.writes[-1])
        if last is not None and last.lineage == lineage:
            return None
        for table, rows in self.transform(ctx):
            ctx.spark.sparkContext.setJobDescription(f"{self.name}: {table}")
            ctx.store.overwrite(table, rows, lineage)
            ctx.inputs.repin(table)
        summary = self.summarize(ctx)
        return Summary(
            **{**summary.__dict__, "tables": {t: ctx.inputs.version(t) for t in self.writes}}
        )


@dataclass(frozen=True)
class CustomJob:
    """A job that writes more than a verdict table (ingest, tokenizer, token shards) and decides
    itself what is missing.
    """

    name: str
    # tables
    writes: tuple[str, ...]
    run: Callable[[Context], Summary | None]
    reads: tuple[str, ...] = ()


Job = ShardJob | TableJob | CustomJob


def execute(job: Job, cfg: CurateConfig) -> Summary | None:
    """Run one job in the active or a new session; print its summary line and keep it in
    DIR/curate/metrics.jsonl.
    """
    log_file = "" if "://" in cfg.output else f"{cfg.output}/curate/spark.log"
    spark = session.start(cfg.spark, app=f"seedbed {job.name}", log_file=log_file)
    store = Store(spark, cfg.output)
    started = time.monotonic()
    try:
        summary = job.run(Context(cfg, store, Inputs(store)))
    except (PySparkException, Py4JError, ConnectionRefusedError) as error:
        # refused: by a JVM that has ended
        raise _plain_error(job.name, error) from error
    seconds = time.monotonic() - started
    if summary is None:
        print(f"{job.name:<18} up to date", flush=True)
        return None
    print(summary.line(seconds), flush=True)
    record = {**summary.__dict__, "seconds": round(seconds, 3)}
    storage.append_json_line(cfg.output, "curate/metrics.jsonl", record)
    return summary


def main(job: Job, argv: list[str]) -> int:
    """The command line of one job file."""
    doc = sys.modules[job.run.__module__].__doc__ if isinstance(job, CustomJob) else None
    args = cli_parser(f"spark_jobs/{job.name}.py", doc).parse_args(argv)
    cfg = load(CurateConfig, args.config, args.overrides)
    require_output(cfg)
    if args.dry_run:
        print(
            to_yaml(cfg)
            + f"# {job.name}: reads {', '.join(job.reads) or 'input='}; writes {', '.join(job.writes)}"
        )
        return 0
    execute(job, cfg)
    return 0


def require_output(cfg: CurateConfig) -> None:
    if not cfg.output:
        raise SeedbedError(
            "output is empty: no place to write the tables",
            "add output=DIR (a path, or a URI such as s3a://...)",
        )


def _plain_error(job: str, error: Exception) -> SeedbedError:
    """One readable line out of a Spark failure; an error of ours that was raised inside a worker
    comes out whole.
    """
    text = str(error)
    if "No space left on device" in text:
        return SeedbedError(
            f"{job}: the disk is full",
            "free space or choose another output=; what is committed stays",
        )
    if "java.lang.OutOfMemoryError" in text:
        raised = "spark.driver_memory (a local run), or --executor-memory and --driver-memory of spark-submit"
        return SeedbedError(
            f"{job}: a JVM ran out of memory", f"raise {raised}; what is committed stays"
        )
    if isinstance(error, Py4JNetworkError | ConnectionRefusedError):
        seen = "read DIR/curate/spark.log, raise spark.driver_memory if it tells of memory, and run the same command again"
        return SeedbedError(f"{job}: Spark's JVM has ended", f"{seen}; what is committed stays")
    marker = "conf.errors.SeedbedError: "
    if marker in text:
        problem, _, rest = text.split(marker, 1)[1].partition("\n  fix: ")
        return SeedbedError(f"{job}: {problem}", rest.splitlines()[0] if rest else "see above")
    cause = [line for line in text.splitlines() if line.startswith("Caused by: ")]
    said = [
        line
        for line in text.splitlines()
        if line.strip() and not line.startswith("An error occurred while calling")
    ]
    first = (
        cause[-1].removeprefix("Caused by: ")
        if cause
        else (said or [type(error).__name__])[0].lstrip(": ")
    )[:500]
    return SeedbedError(
        f"{job} failed in Spark: {first}", "run again with SEEDBED_TRACEBACK=1 for the whole trace"
    )
