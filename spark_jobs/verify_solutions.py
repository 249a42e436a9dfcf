"""problems, samples -> solutions, verdicts: the sandbox on Spark executors, for many samples.

    spark-submit spark_jobs/verify_solutions.py output=DIR verify.problems=P.jsonl verify.samples=S

S is a file of JSON lines, a folder of such files or a Delta table. The rows have the fields that
`python -m seedbed.sandbox run` reads. They go into the table `solutions` first, each (task, sample)
once. From there they are judged shard by shard into `verdicts`. So a job that was killed and starts
again judges only the missing samples.

A sample without a verdict, because of an infrastructure fault, is not written, so that the next run
judges it. A sample whose problem has a wrong reference solution is written with that reason. So is
one that no sealed run can judge (`unsupported`), since another run would say the same.

`verify.format` names the form of the problems. Up to `verify.max_bad` rows of each file may be bad:
they are named and skipped. A sample of a skipped problem is written as `infrastructure`, with the
problem's reason.

`sandbox.python` and `sandbox.packages` say what judges. The interpreter must be at the same path on
each machine of a cluster.

The job is not part of the curation graph, since it reads no content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import batched
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import SeedbedError, run_cli
from seedbed import storage
from seedbed.sandbox import Interpreter, Limits, Sandbox, Verdict, formats, problem_files
from seedbed.sandbox.reference import UNFIT
from seedbed.sandbox.verdict import Isolation
from seedbed.stores.copies import local_file
from spark_jobs.runtime import python_map, session
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import CustomJob, ShardJob, Summary, main
from spark_jobs.runtime.store import TABLES, shard_of

NAME = "verify_solutions"
Batches = Iterator[pa.RecordBatch]
# Samples that one call of the sandbox judges.
BATCH = 64
# A sample as executors read it. Bad lines have a fix; they are not in the table.
_PARSED = "task_id string, solution_sha256 string, sample string, fix string"


def run(ctx: Context) -> Summary | None:
    """Add new samples, and judge those without a verdict; None where there are none."""
    problems = _problems(ctx)
    _take_in(ctx, problems)
    judge = ShardJob(
        NAME,
        output="verdicts",
        params=_params,
        transform=lambda rows, ctx: _judged(rows, ctx, problems),
        reads=("solutions",),
        due=lambda ctx: ctx.inputs["solutions"].withColumn("bytes", F.octet_length("sample")),
        # A sample that the sandbox could not judge gets no row.
        asked=None,
    )
    summary = judge.run(ctx)
    if summary is None or summary.rows_in == summary.rows_out:
        return summary
    return replace(summary, dropped={"infrastructure": summary.rows_in - summary.rows_out})


def _params(ctx: Context) -> dict[str, Any]:
    """All that a verdict depends on besides the sample: problems' bytes, limits, interpreter."""
    digest = hashlib.sha256(local_file(ctx.cfg.verify.problems).read_bytes()).hexdigest()
    judges = Interpreter.of(ctx.cfg.sandbox).describe()
    packages = [list(pair) for pair in judges.packages]
    told = {"python": judges.version, "packages": packages}
    settings = asdict(ctx.cfg.verify)
    # How many rows are bad changes no verdict.
    del settings["max_bad"]
    if not settings["format"]:
        del settings["format"]
    return {**settings, "problems": digest, "samples": "", **told}


@dataclass(frozen=True)
class _Problems:
    """What samples are judged by: problems' rows as JSON, and why others are skipped, by task."""

    good: dict[str, str]
    bad: dict[str, str]


def _problems(ctx: Context) -> _Problems:
    """Raises SeedbedError for too many bad rows, and for two problems of one task_id."""
    settings = ctx.cfg.verify
    for name in ("problems", "samples"):
        if not getattr(settings, name):
            raise SeedbedError(f"verify.{name} is empty", f"add verify.{name}=FILE")
    known = problem_files.read(local_file(settings.problems), settings.format, settings.max_bad)
    good = {name: json.dumps(read.row) for name, read in known.good.items()}
    return _Problems(good, {name: why for name, why in known.bad.items() if name not in good})


def _take_in(ctx: Context, problems: _Problems) -> None:
    """Append the samples that `solutions` lacks, in one commit.

    Bad ones are named, and more of them than verify.max_bad raise SeedbedError.
    """
    path, spark = ctx.cfg.verify.samples, ctx.spark
    if not storage.kind(path):
        raise SeedbedError(
            f"verify.samples={path} does not exist",
            "give a JSONL file, a folder of them or a Delta table",
        )
    here = session.engine().path(path)
    if storage.file_sizes(path, "_delta_log"):
        lines = (
            spark.read.format("delta").load(here).select(F.to_json(F.struct("*")).alias("value"))
        )
    else:
        lines = spark.read.text(here)

    def parse(batches: Batches) -> Batches:
        for batch in batches:
            rows = [_sample(line, problems) for line in batch.column(0).to_pylist() if line.strip()]
            yield pa.RecordBatch.from_pylist(rows, schema=_arrow(_PARSED))

    key = list(TABLES["solutions"].key)
    rows = python_map.map_in_arrow(lines, parse, _PARSED).dropDuplicates(key)
    # The shard comes from the task. So a problem's reference solution is measured once, and its
    # samples share testers.
    rows = rows.withColumn("shard", shard_of(F.sha2("task_id", 256), ctx.cfg.shards))
    fresh = rows.join(ctx.store.read_or_empty("solutions").select(*key), key, "left_anti")
    with ctx.materialize(NAME) as materialize:
        fresh = materialize(fresh, "samples")
        bad = problem_files.BadRows(Path(path), ctx.cfg.verify.max_bad)
        wrong = fresh.filter("fix is not null").orderBy("sample").limit(ctx.cfg.verify.max_bad + 1)
        for row in wrong.collect():
            bad.add(None, SeedbedError(row.sample, row.fix))
        fresh = fresh.filter("fix is null").drop("fix")
        if not fresh.isEmpty() or not ctx.store.exists("solutions"):
            lineage = ctx.lineage(NAME, {"samples": path}, reads=())
            ctx.store.append("solutions", fresh, lineage, step="samples")


def _sample(line: str, problems: _Problems) -> dict[str, str | None]:
    """A row of `solutions` from one line; executors parse lines, which have no line number there.

    Only the fields that the sandbox reads count. So rows that differ in other columns are one
    sample. A bad line is a row with a `fix`, and the reason as its sample.

    Raises SeedbedError for a sample of a task that is in no row.
    """
    try:
        return _taken(line, problems)
    except _BadSample as error:
        digest = hashlib.sha256(line.encode("utf-8", "surrogatepass")).hexdigest()
        why = {"sample": error.problem, "fix": error.fix}
        return {"task_id": "", "solution_sha256": digest, **why}


class _BadSample(SeedbedError):
    """A line that is no sample, or none that can be judged."""


def _taken(line: str, problems: _Problems) -> dict[str, str | None]:
    try:
        row = json.loads(line)
        task = str(row["task_id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _BadSample(
            f"the sample {line!r:.80} is not JSON with a task_id", "repair or remove that row"
        ) from None
    if task not in problems.good and task not in problems.bad:
        raise SeedbedError(
            f"a sample is of task {task!r}, which verify.problems lacks",
            "give the problems it is for",
        )
    if task in problems.good:
        try:
            formats.job_of(task, problem_files.stored_task(problems.good[task]), row)
        except SeedbedError as error:
            raise _BadSample(error.problem, error.fix) from None
    sample = json.dumps(
        {
            name: row[name]
            for name in ("completion", "solution", "files", "language")
            if row.get(name) is not None
        }
    )
    digest = hashlib.sha256(f"{task}\0{sample}".encode("utf-8", "surrogatepass")).hexdigest()
    named = {"task_id": json.dumps(task)[1:-1], "solution_sha256": digest}
    return {**named, "sample": sample, "fix": None}


def _judged(rows: DataFrame, ctx: Context, problems: _Problems) -> DataFrame:
    """Rows of `verdicts` for samples of `solutions`.

    One executor judges the samples of a task one after the other, so that they share a tester.
    """
    settings = ctx.cfg.verify
    limits = Limits(cpu_seconds=settings.cpu_seconds, memory_bytes=settings.memory_mb << 20)
    limits = replace(limits, wall_seconds=max(limits.wall_seconds, 3 * limits.cpu_seconds))
    isolation, columns = cast(Isolation, settings.isolation), TABLES["verdicts"].ddl
    rows = rows.repartition(session.engine().parallelism, "task_id")
    rows = rows.select("task_id", "solution_sha256", "sample", "shard")
    judges = Interpreter.of(ctx.cfg.sandbox)
    judge = _judge(lambda: Sandbox(1, limits, isolation, judges), problems, columns)
    return python_map.map_in_arrow(rows, judge, columns)


def _judge(
    pool: Callable[[], Sandbox], problems: _Problems, columns: str
) -> Callable[[Batches], Batches]:
    def judge(batches: Batches) -> Batches:
        # The samples of a task come one after the other, so that they share a tester.
        waiting = [row for batch in batches for row in batch.to_pylist()]
        waiting.sort(key=lambda row: (row["task_id"], row["solution_sha256"]))
        skipped = [row for row in waiting if _name(row) in problems.bad]
        if skipped:
            found = [{**row, **_skipped(problems.bad[_name(row)])} for row in skipped]
            yield pa.RecordBatch.from_pylist(found, schema=_arrow(columns))
        waiting = [row for row in waiting if _name(row) in problems.good]
        with pool() as sandbox:
            for rows in batched(waiting, BATCH):
                jobs = [
                    formats.job(json.loads(problems.good[_name(row)]), json.loads(row["sample"]))
                    for row in rows
                ]
                found = [
                    {**row, **asdict(verdict), "task_id": row["task_id"]}
                    for row, verdict in zip(rows, sandbox.run(jobs), strict=True)
                    if verdict.verdict != "infrastructure" or verdict.reason.startswith(UNFIT)
                ]
                yield pa.RecordBatch.from_pylist(found, schema=_arrow(columns))

    return judge


def _skipped(reason: str) -> dict[str, Any]:
    """The verdict on a sample whose problem is skipped, without its task."""
    text = f"the problem is skipped: {reason}"[:500]
    verdict = asdict(Verdict("", "infrastructure", text, 0.0, 0.0, 0))
    return {name: value for name, value in verdict.items() if name != "task_id"}


def _name(row: dict[str, Any]) -> str:
    """The task's id. The column holds it as in a JSON text, since an id may be invalid UTF-8."""
    return json.loads(f'"{row["task_id"]}"')  # type: ignore[no-any-return]


def _arrow(ddl: str) -> pa.Schema:
    kinds = {"string": pa.string(), "int": pa.int32(), "long": pa.int64(), "double": pa.float64()}
    return pa.schema(
        [(name, kinds[kind]) for name, kind in (part.split() for part in ddl.split(", "))]
    )


VERIFY = CustomJob(name=NAME, writes=("solutions", "verdicts"), run=run)

if __name__ == "__main__":
    run_cli(lambda argv: main(VERIFY, argv))
