"""The curate line on each engine: wall time, CPU seconds and memory of the process tree.

    python -m demo.fetch sources=conf/curate/demo_sources.txt folder=downloads/demo
    python -m benchmarks.engines input=downloads/demo [engines=sail,spark] [rounds=1] [only=two]

Two inputs: PAIR, two small wheels of the folder, which show what starting costs, and the whole
folder with the settings of the demo, which is the demo's curate stage. `only=two` and `only=all`
take one of them.

Each round runs every engine once, in turn: a whole run into an empty folder, and then the same
command again, which has nothing to do. The hashes of all tables are compared with those of the
first engine. A second table has the jobs of each whole run. `cores` is CPU seconds by wall seconds.

spark.engine=spark needs `make java`. Kernels that were never compiled are compiled in the first
run: `make setup` does it before.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from deltalake import DeltaTable

from benchmarks.usage import measure
from conf.errors import SeedbedError, run_cli
from seedbed.queries.certify import hashes

KNOWN = ("input", "engines", "rounds", "only")
# Two wheels of the demo, 115 files.
PAIR = ("Jinja2-3.0.3-py3-none-any.whl", "rich-13.9.4-py3-none-any.whl")
DEMO = "conf/curate/demo.yaml"
# Seconds: of a whole run of each input, and of one with nothing to do.
GOALS = {"two": 15.0, "all": 50.0}
IDLE = 3.0


class Jobs:
    """The jobs of a run as they end: wall seconds, and CPU seconds of the process tree.

    metrics: the file to which a run adds one line per job.
    """

    def __init__(self, metrics: Path):
        self._metrics = metrics
        self._cpu: list[float] = []

    def look(self, cpu: float) -> None:
        """cpu: what the process tree has used so far."""
        ended = len(self.records())
        self._cpu += [cpu] * (ended - len(self._cpu))

    def records(self) -> list[dict[str, Any]]:
        text = self._metrics.read_text() if self._metrics.exists() else ""
        # The last line may be half written.
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def rows(self) -> list[str]:
        """Rows of a table: job, seconds, CPU seconds, cores. A start counts as its first job's."""
        before, rows = 0.0, []
        for record, cpu in zip(self.records(), self._cpu, strict=False):
            spent, before = cpu - before, cpu
            seconds = record["seconds"]
            cores = spent / max(seconds, 0.001)
            rows.append(f"| {record['job']} | {seconds:.1f} | {spent:.1f} | {cores:.1f} |")
        return rows

    def text_bytes(self) -> int:
        """Bytes of the distinct texts."""
        return sum(r["bytes_in"] for r in self.records() if r["job"] == "sign_contents")


def inputs(folder: Path, scratch: Path, only: str) -> dict[str, tuple[Path, list[str]]]:
    """Name -> (folder, further arguments) of what is run.

    Raises SeedbedError where the folder lacks a wheel of PAIR.
    """
    found: dict[str, tuple[Path, list[str]]] = {}
    if only in ("", "two"):
        two = scratch / "two"
        two.mkdir()
        for name in PAIR:
            if not (folder / name).exists():
                raise SeedbedError(
                    f"{folder} lacks {name}",
                    "give the demo's wheels (python -m demo.fetch), or only=all",
                )
            shutil.copy(folder / name, two)
        found["two"] = (two, [])
    if only in ("", "all"):
        found["all"] = (folder, ["--config", DEMO])
    return found


def main(argv: list[str]) -> int:
    options = dict(word.partition("=")[::2] for word in argv)
    unknown = sorted(set(options) - set(KNOWN))
    only = options.get("only", "")
    if unknown or not options.get("input") or only not in ("", "two", "all"):
        raise SeedbedError(
            f"{unknown[0]} is no option" if unknown else f"input is missing, or only={only}",
            f"give {', '.join(f'{name}=...' for name in KNOWN)}; only is two or all",
        )
    with tempfile.TemporaryDirectory() as scratch:
        chosen = inputs(Path(options["input"]), Path(scratch), only)
        engines = options.get("engines", "sail").split(",")
        compare(chosen, engines, int(options.get("rounds", "1")), Path(scratch))
    return 0


def compare(
    chosen: dict[str, tuple[Path, list[str]]], engines: list[str], rounds: int, scratch: Path
) -> None:
    """Print the figures of all inputs and engines, then those of the jobs."""
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    print("| input | engine | run | s | goal | CPU s | CPU s per GB of text | MB | tables |")
    print("|---|---|---|---|---|---|---|---|---|")
    first: dict[str, dict[str, str]] = {}
    tables = []
    for number in range(rounds):
        for name, (folder, more) in chosen.items():
            for engine in engines:
                output = scratch / f"{name}-{engine}-{number}"
                command = [sys.executable, "-m", "spark_jobs", "run", *more, f"input={folder}"]
                command += [f"output={output}", f"spark.engine={engine}"]
                jobs = Jobs(output / "curate/metrics.jsonl")
                for run, goal in (("whole", GOALS[name]), ("nothing to do", IDLE)):
                    spent = measure(command, jobs.look if run == "whole" else None)
                    found = hashes(str(output))
                    same = "same" if found == first.setdefault(name, found) else "DIFFERENT"
                    size = jobs.text_bytes() / 1e9
                    each = f"{spent['cpu'] / size:.0f}" if run == "whole" else ""
                    row = [name, engine, run, f"{spent['wall']:.1f}", f"{goal:g}"]
                    row += [f"{spent['cpu']:.1f}", each, f"{spent['MB']:.0f}", same]
                    print(f"| {' | '.join(row)} |", flush=True)
                tables.append((f"{name}, {engine}; {ingest_speed(output, jobs)}", jobs.rows()))
    for title, rows in tables:
        print(f"\n{title}\n\n| job | s | CPU s | cores |\n|---|---|---|---|")
        print("\n".join(rows))


def ingest_speed(output: Path, jobs: Jobs) -> str:
    """MB of members of the archives a second, the start of the engine included."""
    files = DeltaTable(str(output / "tables/files")).to_pyarrow_table(columns=["bytes"])
    seconds = sum(r["seconds"] for r in jobs.records() if r["job"] == "ingest")
    return f"ingest of {pc.sum(files['bytes']).as_py() / 1e6 / seconds:.0f} MB/s (goal 50)"


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
