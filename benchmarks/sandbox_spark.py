"""The cost of Spark per verdict: spark_jobs/verify_solutions.py against the plain pool.

    python -m benchmarks.sandbox_spark --mbpp FILE.jsonl [--samples 4] [--problems 974]

Samples are MBPP's reference solutions, `samples` of each, which differ in a comment. Both run as
commands, two programs at a time. A run of one sample gives the cost of the start. CPU seconds are
those of everything that a command started, with the JVM and the jails of its workers.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
WORKERS = 2


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.sandbox_spark", description=__doc__)
    parser.add_argument("--mbpp", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=4, help="of each problem")
    parser.add_argument("--problems", type=int, default=974, help="the first N of the file")
    arguments = parser.parse_args(argv)
    # A process that outlives its parent is waited for here, so that its CPU time counts.
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        sys.exit("prctl(PR_SET_CHILD_SUBREAPER) failed")
    problems = arguments.mbpp.read_text().splitlines()[: arguments.problems]
    rows = [json.loads(line) for line in problems]
    samples = [
        {"task_id": row["task_id"], "completion": f"{row['code']}\n# {number}\n"}
        for row in rows
        for number in range(arguments.samples)
    ]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "problems.jsonl").write_text("".join(line + "\n" for line in problems))
        found = {name: {} for name in ("plain pool", "on Spark")}
        for count in (1, len(samples)):
            given = Path(folder) / f"{count}.jsonl"
            given.write_text("".join(json.dumps(sample) + "\n" for sample in samples[:count]))
            for name, command in commands(Path(folder), given).items():
                found[name][count] = cpu_seconds(command)
                print(
                    f"{name:<12}{count:>6} samples {found[name][count]:8.1f} s of CPU", flush=True
                )
    each = {
        name: 1000 * (spent[len(samples)] - spent[1]) / (len(samples) - 1)
        for name, spent in found.items()
    }
    told = ", ".join(f"{name} {value:.2f} ms" for name, value in each.items())
    print(
        f"CPU per verdict without the start: {told}; "
        f"Spark takes {each['on Spark'] / each['plain pool']:.2f} of the pool's"
    )


def commands(folder: Path, samples: Path) -> dict[str, list[str]]:
    pool = [
        "--samples",
        str(samples),
        "--out",
        str(samples.with_suffix(".out")),
        "--workers",
        str(WORKERS),
    ]
    settings = [f"output={samples.with_suffix('')}", f"verify.problems={folder / 'problems.jsonl'}"]
    return {
        "plain pool": [
            sys.executable,
            "-m",
            "seedbed.sandbox",
            "run",
            "--problems",
            str(folder / "problems.jsonl"),
            *pool,
        ],
        "on Spark": [
            *(sys.executable, "spark_jobs/verify_solutions.py", *settings),
            *(f"verify.samples={samples}", f"spark.master=local[{WORKERS}]"),
        ],
    }


def cpu_seconds(command: list[str]) -> float:
    """CPU seconds of `command` and all its descendants, which have ended then."""
    before = sum(os.times()[2:4])
    done = subprocess.run(command, capture_output=True, text=True)
    while True:
        with contextlib.suppress(ChildProcessError):
            os.wait()
            continue
        break
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return sum(os.times()[2:4]) - before


if __name__ == "__main__":
    main(sys.argv[1:])
