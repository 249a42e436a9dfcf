"""Python functions on an engine that would run them in threads: what child processes cost and give.

    python benchmarks/python_map.py input=downloads/demo output=runs/demo --mb 40

1. transport: MB of text a CPU second through a function that gives back its batches, in a child.
   The CPU time is that of both processes.
2. ingest: MB a CPU second of what executors do with archives, without an engine.
3. syntax: tree-sitter alone, which parses each text once, with the facts that make a row, and the
   work of check_syntax on Sail, in child processes and in threads.

Rounds are interleaved, and the best one counts. The machine may be shared, so CPU time is counted
too: of Sail it is that of the server, its children and theirs.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from conf.schema.curate import IngestSettings, SparkSettings
from seedbed.kernels.source_code.grammars import GRAMMARS
from seedbed.kernels.source_code.syntax import _tools, can_walk, parse
from spark_jobs import check_syntax
from spark_jobs.runtime import python_map, session
from spark_jobs.runtime.children import pool
from spark_jobs.runtime.store import TABLES
from spark_jobs.sources import reading, units

ROUNDS = 3
TIMEOUT_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", metavar="input=DIR", help="archives")
    parser.add_argument("output", metavar="output=DIR", help="a run that has ingested")
    parser.add_argument("--mb", type=float, default=40.0, help="of text, for syntax")
    args = parser.parse_args()
    table = DeltaTable(f"{args.output.removeprefix('output=')}/tables/contents")
    columns = ["content_sha256", "text", "language", "shard"]
    contents = table.to_pyarrow_table(columns=columns).sort_by("content_sha256")
    sizes = pc.cumulative_sum(pc.binary_length(contents["text"])).to_numpy()
    contents = contents.slice(0, int(sizes.searchsorted(args.mb * 1e6))).combine_chunks()
    transport(contents)
    ingest(args.input.removeprefix("input="))
    syntax(contents)


def transport(contents: pa.Table) -> None:
    """Prints the speed of a function in a child that does nothing."""
    rounds = 20
    batches = contents.to_batches(max_chunksize=512)

    def source() -> Iterator[pa.RecordBatch]:
        for _ in range(rounds):
            yield from batches

    identity = python_map.in_child(same)
    count = sum(batch.num_rows for batch in identity(iter(batches)))
    assert count == len(contents)
    child = pool.POOL._idle[0].pid
    before = cpu() + cpu_of(child)
    for _ in identity(source()):
        pass
    seconds = cpu() + cpu_of(child) - before
    megabytes = rounds * contents["text"].nbytes / 1e6
    print(f"transport: {megabytes / seconds:,.0f} MB of text a CPU second, there and back")


def same(batches: python_map.Batches) -> python_map.Batches:
    yield from batches


def ingest(path: str) -> None:
    """Prints the speed of the executors' part of ingest."""
    limits = IngestSettings()
    root, found, *_ = units.find_units(path)
    rows = [{"source": unit.source, "name": unit.name, "size": unit.size} for unit in found]
    start = cpu()
    offers = list(reading.offers(root, iter([pa.RecordBatch.from_pylist(rows)]), limits))
    unpacked = text = 0
    for batch in reading.rows(root, iter(offers), limits):
        unpacked += pc.sum(batch["bytes"]).as_py()
        text += batch["text"].nbytes
    seconds = cpu() - start
    print(
        f"ingest, executors' part: {unpacked / 1e6 / seconds:.1f} MB of members a CPU second, "
        f"{text / 1e6 / seconds:.1f} MB of text that is kept"
    )


def syntax(contents: pa.Table) -> None:
    """Prints the job's function against tree-sitter alone."""
    megabytes = contents["text"].nbytes / 1e6
    names = contents["language"].to_pylist()
    files = [
        (text.encode(), GRAMMARS.get(name or "", ()))
        for text, name in zip(contents["text"].to_pylist(), names, strict=True)
    ]
    files = [(raw, grammars) for raw, grammars in files if grammars]
    # Loading a grammar is no parsing.
    for _, grammars in files:
        for name in grammars:
            _tools(name)

    def alone() -> None:
        for raw, grammars in files:
            _tools(grammars[0]).parser.parse(raw)

    def with_facts() -> None:
        for raw, grammars in files:
            parse(raw, grammars)

    def walked() -> None:
        for raw, grammars in files:
            parse(raw, grammars, walk=True)

    # So is loading the compiled walk. The children do so in the first round.
    assert can_walk()
    spark = session.start(SparkSettings(), "benchmark")
    threads, children = on_engine(spark, contents)
    best: dict[str, tuple[float, float]] = {}
    for _ in range(ROUNDS):
        for name, work in (
            ("tree-sitter alone", alone),
            ("with the facts of a row, by a query", with_facts),
            ("with the facts of a row, by the walk", walked),
            ("Sail, threads", threads),
            ("Sail, child processes", children),
        ):
            start, used = time.monotonic(), cpu() + cpu_below(os.getpid())
            work()
            seconds = time.monotonic() - start
            spent = cpu() + cpu_below(os.getpid()) - used
            before = best.get(name, (seconds, spent))
            best[name] = (min(before[0], seconds), min(before[1], spent))
    for name, (seconds, spent) in best.items():
        print(
            f"syntax: {name}: {seconds:.2f} s of the clock, {spent:.2f} s of CPU, "
            f"{megabytes / spent:.2f} MB a CPU second"
        )
    ratio = best["tree-sitter alone"][0] / best["Sail, child processes"][0]
    cores = session.engine().parallelism
    print(f"syntax: on {cores} cores {ratio:.2f} times tree-sitter alone on one (goal 1.7 on two)")
    session.stop()


def on_engine(spark: Any, contents: pa.Table) -> tuple[Callable[[], None], Callable[[], None]]:
    """Two ways to check the syntax of `contents` on the engine: in threads, and in children."""
    cores = session.engine().parallelism
    path = Path(tempfile.mkdtemp(prefix="seedbed-map-")) / "contents"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    frame = spark.createDataFrame(contents).repartition(4 * cores, "content_sha256")
    frame.write.mode("overwrite").parquet(str(path))
    stored = spark.read.parquet(str(path))
    ddl = TABLES["syntax"].ddl

    def check(batches: python_map.Batches) -> python_map.Batches:
        return check_syntax.checked(batches, TIMEOUT_S)

    def in_thread(batches: python_map.Batches) -> python_map.Batches:
        # The guard is no use here: it would parse in a process of its own.
        import pyarrow

        from seedbed.kernels.source_code import grammars, syntax

        for batch in batches:
            for text, name in zip(
                batch["text"].to_pylist(), batch["language"].to_pylist(), strict=True
            ):
                if of := grammars.GRAMMARS.get(name or "", ()):
                    syntax.parse(text.encode(), of)
            yield pyarrow.record_batch({"content_sha256": batch["content_sha256"]})

    def count(frame: Any) -> None:
        assert frame.count() == len(contents)

    return (
        lambda: count(stored.mapInArrow(in_thread, "content_sha256 string")),
        lambda: count(python_map.map_in_arrow(stored, check, ddl, by_row=True)),
    )


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cpu_below(pid: int) -> float:
    """CPU seconds that the running descendants of a process have used, those who ended included."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        # A process may end while the list is read.
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(_fields(path)[1])
    below, fresh = set(), {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh}
        below |= fresh
    return sum(map(cpu_of, below))


def cpu_of(pid: int) -> float:
    """CPU seconds of a running process and of those of its children that ended."""
    return sum(map(int, _fields(Path(f"/proc/{pid}/stat"))[11:15])) / os.sysconf("SC_CLK_TCK")


def _fields(stat: Path) -> list[str]:
    """The fields of proc(5)'s stat from `state` on."""
    return stat.read_text().rpartition(")")[2].split()


if __name__ == "__main__":
    main()
