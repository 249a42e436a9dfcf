"""The three kinds of job, and what every job shares: command line, resume and summary line.

A job is a value: `ShardJob` (one narrow row per content, committed shard by shard), `TableJob`
(whole tables, rewritten when an input changed) or `CustomJob` (its own `run`). The file that
defines one ends with `run_cli(lambda argv: main(JOB, argv))`. So it runs under `spark-submit
spark_jobs/<job>.py --config FILE [key=value]` and inside `python -m spark_jobs run`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from tqdm import tqdm

from conf.errors import SeedbedError
from conf.loader import cli_parser, load, to_yaml
from conf.schema.curate import CurateConfig
from seedbed import storage
from seedbed.stores.places import require_unambiguous
from seedbed.stores.run_lock import writing
from seedbed.stores.settings import use as use_storage
from spark_jobs.runtime import session
from spark_jobs.runtime.context import FEW, Context, Inputs
from spark_jobs.runtime.errors import is_of_engine, plain_error
from spark_jobs.runtime.joins import having
from spark_jobs.runtime.progress import watch_writing
from spark_jobs.runtime.store import TABLES, Store


@dataclass(frozen=True)
class Summary:
    """What a run of a job did.

    Where the job drops rows, `rows_out` and the values of `dropped` add up to `rows_in`.

    tables: table -> the version that the run wrote.
    notes: figures of this job's own, which are kept in metrics.jsonl.
    """

    job: str
    rows_in: int
    rows_out: int
    dropped: dict[str, int] = field(default_factory=dict)
    bytes_in: int = 0
    tables: dict[str, int] = field(default_factory=dict)
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


@dataclass(frozen=True)
class ShardJob:
    """One row per due content, appended shard by shard.

    Killed and started again, the job does only what is missing.

    params: what the rows depend on besides the content.
    transform: pure; takes the due rows of some shards, returns rows of `output`.
    due: what could be processed, with the key columns of `output`, `shard` and `bytes`.
    part: key columns that all rows of a run share, such as the scorer.
    asked: the settings that decide what is due. The last commit of a run records them. While they
        and the inputs stay as they are, nothing is due, and no engine is asked. None where a due
        row may give no row, and is due again.
    prune: whether rows of `output` that are no longer due are deleted, in a commit of their own.
    at_once: up to so many missing rows are one commit for all shards. It is for jobs whose rows
        cost less than a commit does.
    """

    name: str
    output: str
    params: Callable[[Context], dict[str, Any]]
    transform: Callable[[DataFrame, Context], DataFrame]
    reads: tuple[str, ...] = ("contents",)
    due: Callable[[Context], DataFrame] = lambda ctx: ctx.inputs["contents"]
    part: Callable[[Context], dict[str, str]] | None = None
    asked: Callable[[Context], dict[str, Any]] | None = lambda ctx: {}
    at_once: int = 0
    prune: bool = False

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.output,)

    def run(self, ctx: Context) -> Summary | None:
        """Process what `output` lacks; None where it lacks nothing."""
        complete = self._complete(ctx)
        if self._holds(ctx, complete):
            return None
        ctx.start_engine()
        lineage = {name: value for name, value in complete.items() if name != "complete"}
        ctx.refuse_other_params(self.output, lineage)
        missing = self._missing(ctx)
        plan = (
            missing.groupBy("shard")
            .agg(F.count("*").alias("n"), F.sum("bytes").alias("size"))
            .orderBy("shard")
            .collect()
        )
        if self.prune and ctx.store.exists(self.output):
            self._delete_gone(ctx, lineage if plan else complete)
        if not plan:
            # A reader of the table must find it, even where nothing is due at all.
            if not ctx.store.exists(self.output):
                ctx.store.overwrite(self.output, ctx.store.read_or_empty(self.output), complete)
            return None
        each = [[part["shard"]] for part in plan]
        if sum(part["n"] for part in plan) <= self.at_once:
            each = [[part["shard"] for part in plan]]
        rows_in = {part["shard"]: part["n"] for part in plan}
        rows_out = 0
        with tqdm(
            total=sum(p["n"] for p in plan),
            desc=self.name,
            unit=" rows",
            mininterval=1,
            leave=False,
        ) as bar:
            for shards in each:
                ctx.describe(f"{self.name}: shard {', '.join(map(str, shards[:5]))}")
                rows = self.transform(self._missing_of(ctx, shards), ctx)
                # Where one commit may hold all shards the step has one name for all, so that
                # Delta sees that two writers append the same, whoever has fewer rows.
                step = "rows" if self.at_once else f"shard-{shards[0]}"
                record = complete if shards is each[-1] else lineage
                commit = ctx.store.append(self.output, rows, record, step)
                rows_out += commit.rows_added
                bar.update(sum(rows_in[shard] for shard in shards))
        return Summary(
            self.name,
            rows_in=sum(p["n"] for p in plan),
            rows_out=rows_out,
            bytes_in=sum(p["size"] or 0 for p in plan),
            tables={self.output: commit.version},
        )

    def is_current(self, ctx: Context) -> bool:
        """Whether the log of `output` says that nothing is due, without a look at rows."""
        return self._holds(ctx, self._complete(ctx))

    def _holds(self, ctx: Context, complete: dict[str, Any]) -> bool:
        last = ctx.store.last_commit(self.output, complete.get("part"))
        return bool(self.asked and last and last.lineage == complete)

    def _complete(self, ctx: Context) -> dict[str, Any]:
        """The lineage of a commit after which nothing is due."""
        lineage = ctx.lineage(self.name, self.params(ctx), self.reads)
        part = {"part": self.part(ctx)} if self.part else {}
        return lineage | part | ({"complete": self.asked(ctx)} if self.asked else {})

    def _missing(self, ctx: Context) -> DataFrame:
        """The due rows that `output` lacks, of all shards."""
        # Without a table to join with, no text needs to be shuffled.
        if not ctx.store.exists(self.output):
            return self.due(ctx)
        have = ctx.store.read_or_empty(self.output).select(*self._key, "shard")
        return self.due(ctx).join(have, [*self._key, "shard"], "left_anti")

    def _missing_of(self, ctx: Context, shards: list[int]) -> DataFrame:
        """The missing rows of some shards.

        Where they are few, their keys are found first and sent to the texts. Else all texts of a
        shard would be shuffled to meet the keys that `output` has.
        """
        here = F.col("shard").isin(shards)
        if not ctx.store.exists(self.output):
            return self.due(ctx).filter(here)
        key = [*self._key, "shard"]
        keys = self._missing(ctx).filter(here).select(*key)
        few = keys.limit(FEW + 1).toArrow()
        if len(few) <= FEW:
            keys = ctx.spark.createDataFrame(few)
        return having(self.due(ctx).filter(here), keys, key)

    def _delete_gone(self, ctx: Context, record: dict[str, Any]) -> None:
        """Delete the rows of `output` that are no longer due, and say how many they are."""
        have, due = ctx.store.read(self.output), self.due(ctx).select(*self._key)
        gone = have.join(due, [*self._key], "left_anti").count()
        if gone:
            kept = have.join(due, [*self._key], "left_semi")
            ctx.store.overwrite(self.output, kept, record)
            print(f"{self.name:<18} {gone:,} rows of contents that are gone: deleted", flush=True)

    @property
    def _key(self) -> tuple[str, ...]:
        return TABLES[self.output].key


@dataclass(frozen=True)
class TableJob:
    """Whole tables, rewritten when an input version or a parameter changed.

    transform: yields (table, rows); each table is written before the next is asked for. The last
        one marks completion.
    summarize: counts the tables as they were written.
    parts: input -> the only part of it that is read.
    """

    name: str
    writes: tuple[str, ...]
    params: Callable[[Context], dict[str, Any]]
    transform: Callable[[Context], Iterator[tuple[str, DataFrame]]]
    reads: tuple[str, ...]
    summarize: Callable[[Context], Summary]
    parts: Callable[[Context], dict[str, dict[str, str]]] = lambda ctx: {}

    def run(self, ctx: Context) -> Summary | None:
        """Rewrite the tables; None where nothing they depend on changed."""
        lineage = ctx.lineage(self.name, self.params(ctx), self.reads, self.parts(ctx))
        if all(self._holds(ctx, table, lineage) for table in self.writes):
            return None
        ctx.start_engine()
        for table, rows in self.transform(ctx):
            folder = f"tables/{table}"
            with watch_writing(f"{self.name}: {table}", session.engine(), ctx.store.root, folder):
                ctx.store.overwrite(table, rows, lineage)
            ctx.inputs.repin(table)
        summary = self.summarize(ctx)
        return Summary(
            **{**summary.__dict__, "tables": {t: ctx.inputs.version(t) for t in self.writes}}
        )

    def _holds(self, ctx: Context, table: str, lineage: dict[str, Any]) -> bool:
        last = ctx.store.last_commit(table)
        return last is not None and last.lineage == lineage


@dataclass(frozen=True)
class CustomJob:
    """A job that decides itself what is missing, and may write files beside its tables."""

    name: str
    writes: tuple[str, ...]
    run: Callable[[Context], Summary | None]
    reads: tuple[str, ...] = ()


Job = ShardJob | TableJob | CustomJob


def execute(job: Job, cfg: CurateConfig) -> Summary | None:
    """Run one job in the active or a new session; returns None where nothing had to be done.

    The summary is printed as one line and kept in DIR/curate/metrics.jsonl.
    """
    log_file = "" if "://" in cfg.output else f"{cfg.output}/curate/engine.log"
    store = Store(partial(session.start, cfg.spark, f"seedbed {job.name}", log_file), cfg.output)
    started = time.monotonic()
    try:
        summary = job.run(Context(cfg, store, Inputs(store)))
    except Exception as error:
        engine = session.running()
        if engine is None or not is_of_engine(error):
            raise
        raise plain_error(job.name, error, engine) from error
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
        print(f"{to_yaml(cfg)}# {job.name}: {reads_and_writes(job)}")
        return 0
    use_storage(cfg.storage)
    with writing(cfg.output):
        execute(job, cfg)
    return 0


def reads_and_writes(job: Job) -> str:
    """The inputs and outputs of a job in words, for --dry-run."""
    reads, writes = ", ".join(job.reads) or "input=", ", ".join(job.writes) or "files"
    return f"reads {reads}; writes {writes}"


def require_output(cfg: CurateConfig) -> None:
    """Raises SeedbedError where the config names no place in which tables can lie."""
    if not cfg.output:
        raise SeedbedError(
            "output is empty: no place to write the tables",
            "add output=DIR (a path, or a URI such as s3://BUCKET/run)",
        )
    require_unambiguous(cfg.output)
