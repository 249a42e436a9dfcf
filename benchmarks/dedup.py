"""Near dedup end to end, ours against datatrove and text-dedup: one corpus, one run, two cores.

    python -m benchmarks.dedup output=DIR [megabytes=N] [datatrove=PYTHON] [spacy=PYTHON] [textdedup=PYTHON]
    python -m benchmarks.dedup output=DIR growth=1,3,10 [master=local-cluster[1,2,4096]]
    python -m benchmarks.dedup output=DIR added=100

DIR holds the tables that ingest wrote; `megabytes` takes as much of `contents`, in the order of
their hash. A corpus of 1 GB:

    python -m demo.fetch sources=benchmarks/dedup_sources.txt folder=downloads/dedup
    python -m spark_jobs run input=downloads/dedup output=runs/dedup until=contents

The peers come with virtual environments of their own; `spacy` is datatrove's again, and asks for
its default tokenizer too:

    python -m venv datatrove && datatrove/bin/pip install "datatrove[processing]==0.10.1" spacy xxhash orjson
    python -m venv textdedup && textdedup/bin/pip install "text-dedup==0.4.0"

All have two workers, 5-word shingles, 25 bands of 10 values and threshold 0.7, and start from texts
without exact duplicates that lie on disk in the form they like best (Delta, JSON lines, Parquet):
nobody's ingest is timed. Ours reads and writes Delta tables and compares every pair and every
dropped content by true Jaccard; the peers write the texts that are kept, unverified. datatrove's
fastest tokenizer is white space, which it takes as a WordTokenizer. Process start-up is in
everybody's time; `start` is what our command costs on ten files. CPU seconds are those of the
process tree, Python workers and JVM included, memory its largest sum of resident sets; `driver JVM`
holds Spark's driver and, unless `master` says otherwise, its executor.

Quality, by brute force over 400 contents against all, true Jaccard of 5-token shingles without
licence heads:
  removed    share of the contents
  precision  share of the removed that are near duplicates (J >= 0.7) of a content that was kept
  recall     share of near-duplicate pairs of which no more than one was kept

growth: the corpus and, for each further copy, the same texts with their letters rotated, so that
shingles are new and duplicates stay among themselves. The exponent is the slope of log wall against
log bytes.

added=N: every N-th content comes when the others are done. What that costs, as a share of the CPU
seconds of a run over all, both without those of ten files; and whether the tables are those of that
run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

from seedbed.kernels.near_dup.jaccard import similar_pairs
from seedbed.kernels.near_dup.license_head import license_end
from seedbed.kernels.near_dup.shingles import distinct, shingle_hashes
from seedbed.queries.certify import hashes

ROOT = Path(__file__).parents[1]
ASKED, THRESHOLD = 400, 0.7
TABLES = ("signatures", "near_misses", "near_edges", "clusters")
KINDS = ("driver JVM", "executor JVM", "Python driver", "Python worker")
GOALS = {"datatrove, white space": 20.0, "datatrove, spaCy": 20.0, "text-dedup": 8.0}

DATATROVE = """
import sys
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.word_tokenizers import WordTokenizer

class Words(WordTokenizer):
    def word_tokenize(self, text):
        return text.split()
    sent_tokenize = span_tokenize = None  # abstract, and not asked for by MinHash

if __name__ == "__main__":
    source, work, tokenizer = sys.argv[1:]
    config = MinhashConfig(n_grams=5, num_buckets=25, hashes_per_bucket=10, hash_config=HashConfig(precision=64))
    sign = MinhashDedupSignature(f"{work}/signatures", config=config)
    if tokenizer == "white space":
        sign.word_tokenizer = Words()
    def stage(name, pipeline, tasks):  # finished tasks are known by their logs
        LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=2, logging_dir=f"{work}/logs/{name}").run()
    stage("sign", [JsonlReader(source), sign], 2)
    stage("buckets", [MinhashDedupBuckets(f"{work}/signatures", f"{work}/buckets", config=config)], 25)
    stage("cluster", [MinhashDedupCluster(f"{work}/buckets", f"{work}/remove", config=config)], 1)
    kept = JsonlWriter(f"{work}/kept", compression=None)
    stage("filter", [JsonlReader(source), MinhashDedupFilter(f"{work}/remove"), kept], 2)
"""

KERNEL = """
import sys, time
import pyarrow.dataset as ds
from seedbed.kernels.near_dup import minhash
from seedbed.kernels.near_dup.shingles import shingle_hashes
spent = 0.0
for turn in range(2):  # the first loads the machine code
    for batch in ds.dataset(sys.argv[1]).to_batches(columns=["text"], batch_size=512):
        started = time.process_time()
        minhash.signatures(shingle_hashes(batch["text"], 5), 256, 1)
        spent += (time.process_time() - started) * turn
        if not turn:
            break
print(spent)
"""


def measure(command: list[str], **options: Any) -> dict[str, float]:
    """Run `command`; wall seconds, CPU seconds of its process tree, and its largest resident sets
    in MB: of all, by KINDS.
    """
    started = time.monotonic()
    peak = dict.fromkeys(("MB", *KINDS), 0)
    spent: dict[tuple[int, float], float] = {}
    with tempfile.TemporaryFile() as log:
        child = psutil.Popen(command, stdout=log, stderr=log, **options)
        while child.poll() is None:
            resident = dict.fromkeys(peak, 0)
            for process in _tree(child):
                try:
                    times, size = process.cpu_times(), process.memory_info().rss
                    spent[process.pid, process.create_time()] = times.user + times.system
                    resident["MB"] += size
                    kind = kind_of(process, child)
                    resident[kind] = max(resident[kind], size)
                except psutil.Error:
                    continue
            peak = {key: max(value, resident[key]) for key, value in peak.items()}
            time.sleep(0.1)
        if child.returncode:
            log.seek(0)
            sys.exit(f"{' '.join(command)[:200]} failed:\n{log.read().decode()[-3000:]}")
    sizes = {key: value / 1e6 for key, value in peak.items()}
    return {"wall": time.monotonic() - started, "cpu": sum(spent.values()), **sizes}


def kind_of(process: psutil.Process, command: psutil.Process) -> str:
    """The one of KINDS that `process`, of the tree under `command`, is."""
    if process.pid == command.pid:
        return "Python driver"
    if process.name() != "java":
        return "Python worker"
    return (
        "executor JVM"
        if "org.apache.spark.executor.CoarseGrainedExecutorBackend" in process.cmdline()
        else "driver JVM"
    )


def memory(found: dict[str, float]) -> str:
    return ", ".join(f"{kind} {found[kind]:,.0f} MB" for kind in KINDS if found[kind])


def _tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def read_contents(output: str, megabytes: int) -> pa.Table:
    """`contents` in the order of their hash; up to `megabytes`, or all for 0."""
    table = DeltaTable(f"{output}/tables/contents").to_pyarrow_table().sort_by("content_sha256")
    table = table.set_column(
        table.column_names.index("text"), "text", table["text"].cast(pa.large_string())
    )
    upto = pc.cumulative_sum(table["bytes"]).to_numpy()
    return (
        table.slice(0, np.searchsorted(upto, megabytes * 1_000_000, "right"))
        if megabytes
        else table
    )


def rotated(table: pa.Table, by: int) -> pa.Table:
    """The same contents with their letters rotated by `by` after the licence head, under hashes of
    their own.
    """
    lower, upper = string.ascii_lowercase, string.ascii_uppercase
    letters = bytes.maketrans(
        (lower + upper).encode(), (lower[by:] + lower[:by] + upper[by:] + upper[:by]).encode()
    )
    texts = []
    for text in table["text"].to_pylist():
        data = text.encode()
        head = license_end(np.frombuffer(data, np.uint8), 0, len(data))
        texts.append(data[:head] + data[head:].translate(letters))
    shas = [hashlib.sha256(data).hexdigest() for data in texts]
    columns = {
        "content_sha256": pa.array(shas),
        "text": pa.array([data.decode() for data in texts], pa.large_string()),
        "shard": pa.array([int(sha[:2], 16) // 64 for sha in shas], table["shard"].type),
    }
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def write_run(copies: Iterable[pa.Table], output: str, folder: Path) -> Path:
    """The tables that near dedup reads: `contents` with two files a shard for each of `copies`, as
    ingest has them.
    """
    for table in copies:
        half = len(table) // 2
        for part in (table.slice(0, half), table.slice(half)):
            write_deltalake(
                str(folder / "tables/contents"), part, partition_by=["shard"], mode="append"
            )
    for name in ("files", "repos"):
        shutil.copytree(f"{output}/tables/{name}", folder / "tables" / name, copy_function=os.link)
    return folder


def ours(folder: Path, master: str = "local[2]") -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "spark_jobs",
        "run",
        f"output={folder}",
        "from=signatures",
        "until=clusters",
    ]
    # with executors of its own the driver holds no row
    memory = "4g" if master.startswith("local[") else "1500m"
    extra = "spark.extra={spark.executor.memory: 3g}"
    return measure(
        [*command, f"spark.master={master}", f"spark.driver_memory={memory}", extra], cwd=ROOT
    )


def kernel_speed(folder: Path, megabytes: float) -> float:
    """MB/s of one core, text in Arrow buffers to signatures."""
    command = [sys.executable, "-c", KERNEL, str(folder / "tables/contents")]
    return megabytes / float(
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    )


def kept_by_ours(folder: Path) -> set[str]:
    rows = DeltaTable(str(folder / "tables/clusters")).to_pyarrow_table(
        columns=["content_sha256", "survivor"]
    )
    return set(rows.filter(rows["survivor"])["content_sha256"].to_pylist())


def datatrove(
    python: str, table: pa.Table, work: Path, tokenizer: str
) -> tuple[dict[str, float], set[str]]:
    (work / "source").mkdir(parents=True)
    for half in (0, 1):
        rows = (
            table.select(["content_sha256", "text"])
            .take(np.arange(half, len(table), 2))
            .to_pylist()
        )
        lines = (
            json.dumps({"id": row["content_sha256"], "text": row["text"]}) + "\n" for row in rows
        )
        (work / "source" / f"{half}.jsonl").write_text("".join(lines))
    (work / "pipeline.py").write_text(DATATROVE)
    figures = measure(
        [python, str(work / "pipeline.py"), str(work / "source"), str(work), tokenizer]
    )
    kept = set()
    for file in (work / "kept").rglob("*.jsonl"):
        with file.open() as lines:
            kept |= {json.loads(line)["id"] for line in lines}
    return figures, kept


def textdedup(python: str, table: pa.Table, work: Path) -> tuple[dict[str, float], set[str]]:
    work.mkdir()
    pq.write_table(table.select(["content_sha256", "text"]), work / "corpus.parquet")
    options = {
        "path": "parquet", "data_files": work / "corpus.parquet", "split": "train", "column": "text", "output": work / "kept",
        "cache_dir": work / "cache", "ngram": 5, "min_length": 0, "num_perm": 256, "b": 25, "r": 10, "threshold": THRESHOLD,
        "num_proc": 2,
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    figures = measure([python, "-m", "text_dedup.minhash", *words], cwd=work)
    kept: set[str] = set()
    for file in (work / "kept").glob("*.arrow"):
        kept |= set(pa.ipc.open_stream(file).read_all()["content_sha256"].to_pylist())
    return figures, kept


def quality(table: pa.Table, kept: set[str], sets: Any) -> str:
    """See the module's docstring."""
    is_kept = np.array([sha in kept for sha in table["content_sha256"].to_pylist()])
    removed = np.flatnonzero(~is_kept)
    removed = removed[np.linspace(0, len(removed) - 1, min(ASKED, len(removed))).astype(np.int64)]
    query, other, _ = similar_pairs(sets, removed, THRESHOLD)
    sound = np.zeros(len(removed), bool)
    sound[query[is_kept[other]]] = True
    asked = np.linspace(0, len(table) - 1, min(ASKED, len(table))).astype(np.int64)
    query, other, _ = similar_pairs(sets, asked, THRESHOLD)
    resolved = ~(is_kept[asked[query]] & is_kept[other])
    return f"removed {1 - is_kept.mean():.3f}  precision {sound.mean():.3f}  recall {resolved.mean():.3f} ({len(resolved)} pairs)"


def compare(options: dict[str, str], root: Path) -> None:
    table = read_contents(options["output"], int(options.get("megabytes", 0)))
    megabytes = pc.sum(table["bytes"]).as_py() / 1e6
    print(f"{len(table):,} contents, {megabytes:.1f} MB", flush=True)
    start = ours(write_run([table.slice(0, 10)], options["output"], root / "start"))
    folder = write_run([table], options["output"], root / "ours")
    results = {"ours": (ours(folder), kept_by_ours(folder))}
    kernel = kernel_speed(folder, megabytes)
    for name, option in (("datatrove, white space", "datatrove"), ("datatrove, spaCy", "spacy")):
        if option in options:
            work = root / re.sub(r"\W+", "-", name)
            results[name] = datatrove(options[option], table, work, name.split(", ")[1])
            shutil.rmtree(work)
    if "textdedup" in options:
        results["text-dedup"] = textdedup(options["textdedup"], table, root / "textdedup")
    sets = distinct(shingle_hashes(table["text"], 5)) if len(results) > 1 else None
    mine = results["ours"][0]
    busy = mine["wall"] - start["wall"]
    print(f"start: {start['wall']:.1f} s, {start['cpu']:.1f} CPU s")
    for name, (found, kept) in results.items():
        marks = quality(table, kept, sets) if sets else ""
        speed = f"{megabytes / found['wall']:6.2f} MB/s  {found['wall']:6.1f} s  {found['cpu']:6.1f} CPU s"
        print(f"{name:<22} {speed}  {found['MB']:6,.0f} MB  {marks}")
        if name in GOALS:
            ratio, work = found["wall"] / mine["wall"], found["cpu"] / mine["cpu"]
            print(
                f"  ours is {ratio:.1f} times as fast (goal {GOALS[name]:g}: {verdict(ratio >= GOALS[name])})",
                end="",
            )
            print(
                f", {found['wall'] / busy:.1f} times without our start; in CPU time {work:.1f} times"
            )
    print(f"ours: {memory(mine)}")
    share = megabytes / mine["wall"] / (2 * kernel)
    print(
        f"kernel {kernel:.0f} MB/s a core; end to end {share:.3f} of two of them (goal 0.25: {verdict(share >= 0.25)})",
        end="",
    )
    print(f", {megabytes / busy / (2 * kernel):.3f} without start")


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def growth(options: dict[str, str], root: Path) -> None:
    table = read_contents(options["output"], int(options.get("megabytes", 0)))
    master = options.get("master", "local[2]")
    start = ours(write_run([table.slice(0, 10)], options["output"], root / "start"), master)
    print(f"start: {start['wall']:.1f} s, {start['cpu']:.1f} CPU s", flush=True)
    points = []
    for copies in map(int, options["growth"].split(",")):
        folder = write_run(
            (rotated(table, by) for by in range(copies)), options["output"], root / str(copies)
        )
        # rotation keeps every length
        megabytes = pc.sum(table["bytes"]).as_py() * copies / 1e6
        found = ours(folder, master)
        shutil.rmtree(folder)
        points.append((megabytes, found["wall"], found["wall"] - start["wall"], found["cpu"]))
        speed = f"{megabytes / found['wall']:6.2f} MB/s  {found['wall']:6.1f} s  {found['cpu']:6.1f} CPU s"
        print(
            f"{megabytes:9.1f} MB  {speed}  {memory(found)}, all {found['MB']:,.0f} MB", flush=True
        )
    size, *times = np.log(np.array(points)).T
    for name, seconds in zip(("wall", "wall without start-up", "CPU"), times, strict=True):
        print(f"exponent of {name}: {np.polyfit(size, seconds, 1)[0]:.2f}")


def added(options: dict[str, str], root: Path) -> None:
    table = read_contents(options["output"], int(options.get("megabytes", 0)))
    late = pa.array(np.arange(len(table)) % int(options["added"]) == 0)
    start = ours(write_run([table.slice(0, 10)], options["output"], root / "start"))["cpu"]
    folders = {
        name: write_run([rows], options["output"], root / name)
        for name, rows in (("whole", table), ("grown", table.filter(pc.invert(late))))
    }
    whole = ours(folders["whole"])["cpu"]
    ours(folders["grown"])
    contents = str(folders["grown"] / "tables/contents")
    write_deltalake(contents, table.filter(late), partition_by=["shard"], mode="append")
    more = ours(folders["grown"])["cpu"]
    share = (more - start) / (whole - start)
    print(
        f"start {start:.1f} CPU s, whole {whole:.1f}, {pc.sum(late).as_py():,} of {len(table):,} contents added {more:.1f}"
    )
    print(
        f"added is {share:.2f} of the whole without start (goal 0.5 at most: {verdict(share <= 0.5)})"
    )
    one, other = (hashes(str(folder), TABLES) for folder in folders.values())
    print("certificates " + ("agree" if one == other else f"DIFFER: {one} {other}"))


def main(argv: list[str]) -> None:
    options = dict(item.split("=", 1) for item in argv)
    with tempfile.TemporaryDirectory(dir=Path(options["output"]).resolve().parent) as scratch:
        asked = growth if "growth" in options else added if "added" in options else compare
        asked(options, Path(scratch))


if __name__ == "__main__":
    main(sys.argv[1:])
