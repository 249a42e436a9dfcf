"""Near dedup end to end: ours against datatrove and text-dedup, on one corpus and two cores.

    python -m benchmarks.dedup output=DIR [megabytes=N] [datatrove=PYTHON] [spacy=PYTHON] \\
        [textdedup=PYTHON]
    python -m benchmarks.dedup output=DIR growth=1,3,10 [master=local-cluster[1,2,4096]]
    python -m benchmarks.dedup output=DIR added=100

DIR holds the tables that ingest wrote. `megabytes` takes as much of `contents`, in the order of
their hashes. These commands make a corpus of 1 GB:

    python -m demo.fetch sources=benchmarks/dedup_sources.txt folder=downloads/dedup
    python -m spark_jobs run input=downloads/dedup output=runs/dedup until=contents

The peers need virtual environments of their own. `spacy` names datatrove's environment again and
also runs its default tokenizer:

    python -m venv datatrove
    datatrove/bin/pip install "datatrove[processing]==0.10.1" spacy xxhash orjson
    python -m venv textdedup && textdedup/bin/pip install "text-dedup==0.4.0"

All have two workers, 5-word shingles, 25 bands of 10 values and threshold 0.7. They start from
texts without exact duplicates, which lie on disk in the form that suits each best (Delta, JSON
lines, Parquet). So no ingest is timed. Ours reads and writes Delta tables and compares every pair
and every dropped content by true Jaccard. The peers write the kept texts and verify nothing.
datatrove's fastest tokenizer splits at white space; it is passed as a WordTokenizer.

All times include the start of the processes. `start` is the time of our command on ten files. CPU
seconds are those of the process tree, with Python workers and the JVM. Memory is the largest sum of
resident sets. `driver JVM` holds Spark's driver and, unless `master` says otherwise, its executor.

Quality is measured by brute force, for 400 contents against all, by the true Jaccard of 5-token
shingles without licence heads:

- removed: the share of the contents that were removed;
- precision: the share of the removed that are near duplicates (J >= 0.7) of a kept content;
- recall: the share of near-duplicate pairs of which at most one was kept.

growth: runs the corpus with several copies of its texts. In each further copy the letters are
rotated, so that its shingles are new and its duplicates stay inside the copy. The exponent is the
slope of log wall time against log bytes.

added=N: every N-th content is added after the others are done. Printed are the cost as a share of
the CPU seconds of a run over all contents (both without the cost of ten files), and whether the
tables equal those of that run.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import string
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from benchmarks.dedup_peers import THRESHOLD, datatrove, textdedup
from benchmarks.usage import measure, memory
from seedbed.kernels.near_dup.jaccard import similar_pairs
from seedbed.kernels.near_dup.license_head import license_end
from seedbed.kernels.near_dup.shingles import distinct, shingle_hashes
from seedbed.queries.certify import hashes

ROOT = Path(__file__).parents[1]
ASKED = 400
TABLES = ("signatures", "near_misses", "near_edges", "clusters")
GOALS = {"datatrove, white space": 12.0, "datatrove, spaCy": 25.0, "text-dedup": 16.0}

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


def read_contents(output: str, megabytes: int) -> pa.Table:
    """`contents` in the order of their hashes, up to `megabytes`; 0 takes all."""
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
    """The contents with their letters rotated by `by` after the licence head, and new hashes.

    A content whose text has no letters there has no other copy: hashes are keys.
    """
    lower, upper = string.ascii_lowercase, string.ascii_uppercase
    letters = bytes.maketrans(
        (lower + upper).encode(), (lower[by:] + lower[:by] + upper[by:] + upper[:by]).encode()
    )
    given = table["content_sha256"]
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
    return table.filter(pc.not_equal(table["content_sha256"], given)) if by else table


def write_run(copies: Iterable[pa.Table], output: str, folder: Path) -> Path:
    """Write the tables that near dedup reads, with two files per shard for each of `copies`."""
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
    # With separate executors the driver holds no rows.
    memory = "4g" if master.startswith("local[") else "1500m"
    extra = "spark.extra={spark.executor.memory: 3g}"
    return measure([*command, f"spark.master={master}", f"spark.memory={memory}", extra], cwd=ROOT)


def kernel_speed(folder: Path, megabytes: float) -> float:
    """MB/s of one core, from text in Arrow buffers to signatures."""
    command = [sys.executable, "-c", KERNEL, str(folder / "tables/contents")]
    return megabytes / float(
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    )


def kept_by_ours(folder: Path) -> set[str]:
    rows = DeltaTable(str(folder / "tables/clusters")).to_pyarrow_table(
        columns=["content_sha256", "survivor"]
    )
    return set(rows.filter(rows["survivor"])["content_sha256"].to_pylist())


def quality(table: pa.Table, kept: set[str], sets: Any) -> str:
    """The figures of quality that the module's docstring defines."""
    is_kept = np.array([sha in kept for sha in table["content_sha256"].to_pylist()])
    removed = np.flatnonzero(~is_kept)
    removed = removed[np.linspace(0, len(removed) - 1, min(ASKED, len(removed))).astype(np.int64)]
    query, other, _ = similar_pairs(sets, removed, THRESHOLD)
    sound = np.zeros(len(removed), bool)
    sound[query[is_kept[other]]] = True
    asked = np.linspace(0, len(table) - 1, min(ASKED, len(table))).astype(np.int64)
    query, other, _ = similar_pairs(sets, asked, THRESHOLD)
    resolved = ~(is_kept[asked[query]] & is_kept[other])
    return (
        f"removed {1 - is_kept.mean():.3f}  precision {sound.mean():.3f}  "
        f"recall {resolved.mean():.3f} ({len(resolved)} pairs)"
    )


def compare(options: dict[str, str], root: Path) -> None:
    """Print the figures of ours and of the peers that `options` name."""
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
        speed = speed_of(megabytes, found)
        print(f"{name:<22} {speed}  {found['MB']:6,.0f} MB  {marks}")
        if name in GOALS:
            ratio, work = found["wall"] / mine["wall"], found["cpu"] / mine["cpu"]
            met = verdict(ratio >= GOALS[name])
            print(f"  ours is {ratio:.1f} times as fast (goal {GOALS[name]:g}: {met})", end="")
            print(f", {found['wall'] / busy:.1f} times without start; in CPU time {work:.1f} times")
    print(f"ours: {memory(mine)}")
    share = megabytes / mine["wall"] / (2 * kernel)
    print(
        f"kernel {kernel:.0f} MB/s per core; end to end {share:.3f} of two of them "
        f"(goal 0.25: {verdict(share >= 0.25)})",
        end="",
    )
    print(f", {megabytes / busy / (2 * kernel):.3f} without start")


def speed_of(megabytes: float, found: dict[str, float]) -> str:
    return (
        f"{megabytes / found['wall']:6.2f} MB/s  {found['wall']:6.1f} s  {found['cpu']:6.1f} CPU s"
    )


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def growth(options: dict[str, str], root: Path) -> None:
    """Print the exponent of time in the size of the corpus."""
    table = read_contents(options["output"], int(options.get("megabytes", 0)))
    master = options.get("master", "local[2]")
    start = ours(write_run([table.slice(0, 10)], options["output"], root / "start"), master)
    print(f"start: {start['wall']:.1f} s, {start['cpu']:.1f} CPU s", flush=True)
    points = []
    for copies in map(int, options["growth"].split(",")):
        folder = write_run(
            (rotated(table, by) for by in range(copies)), options["output"], root / str(copies)
        )
        # Rotation keeps the length of every text.
        megabytes = pc.sum(table["bytes"]).as_py() * copies / 1e6
        found = ours(folder, master)
        shutil.rmtree(folder)
        points.append((megabytes, found["wall"], found["wall"] - start["wall"], found["cpu"]))
        speed = speed_of(megabytes, found)
        print(
            f"{megabytes:9.1f} MB  {speed}  {memory(found)}, all {found['MB']:,.0f} MB", flush=True
        )
    size, *times = np.log(np.array(points)).T
    for name, seconds in zip(("wall", "wall without start-up", "CPU"), times, strict=True):
        print(f"exponent of {name}: {np.polyfit(size, seconds, 1)[0]:.2f}")


def added(options: dict[str, str], root: Path) -> None:
    """Print the cost of contents that are added to a finished run."""
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
        f"start {start:.1f} CPU s, whole {whole:.1f}, "
        f"{pc.sum(late).as_py():,} of {len(table):,} contents added {more:.1f}"
    )
    print(
        f"added is {share:.2f} of the whole without start "
        f"(goal 0.25 at most: {verdict(share <= 0.25)})"
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
