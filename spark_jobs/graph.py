"""The graph: every job in the order in which a run takes them.

A job is named by its module, so that no job has to import another.
"""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

from conf.errors import SeedbedError
from conf.schema.curate import CurateConfig
from spark_jobs.runtime.job import Job, execute

HERE = Path(__file__).parent
# The order is the paper's: dedup, then rules (syntax), then the quality filter (Sec 2.1), then
# decontamination (Sec 4).
JOBS = (
    "ingest",
    "sign_contents",
    "find_near_pairs",
    "cluster_near_dups",
    "compare_repos",
    "check_syntax",
    "label_quality",
    "fit_scorer",
    "score_quality",
    "recall_quality",
    "decontaminate",
    "select_documents",
    "train_tokenizer",
    "pack_tokens",
)
# Jobs of their own, which `run` does not take.
BESIDE = ("verify_solutions",)


def job(name: str) -> Job:
    """The JOB of spark_jobs/<name>.py."""
    return import_module(f"spark_jobs.{name}").JOB  # type: ignore[no-any-return]


def purpose(name: str) -> str:
    """What a job does: the first sentence of its file, which is read and not imported."""
    text = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())) or ""
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    first = next(part for part in paragraphs if not part.startswith("spark-submit"))
    return re.split(r"(?<=[.?]) ", first.removeprefix(f"{name}: "))[0]


def span(until: str | None, start: str | None) -> tuple[str, ...]:
    """The names of the jobs from `start` to `until`, each a job or a table that a job writes.

    Raises SeedbedError where one is neither, or where `start` comes after `until`.
    """
    first = _position(start, "from") if start else 0
    last = _position(until, "until") if until else len(JOBS) - 1
    if first > last:
        raise SeedbedError(
            f"from={start} comes after until={until}: {JOBS[first]} runs after {JOBS[last]}",
            "swap them",
        )
    return JOBS[first : last + 1]


def run(cfg: CurateConfig, names: tuple[str, ...]) -> int:
    """Run the named jobs in one session; returns how many of them had something to do."""
    return sum(execute(job(name), cfg) is not None for name in names)


def _position(target: str, option: str) -> int:
    for index, name in enumerate(JOBS):
        if target == name or target in job(name).writes:
            return index
    tables = sorted({table for name in JOBS for table in job(name).writes})
    raise SeedbedError(
        f"{option}={target} is neither a job nor a table",
        f"tables: {', '.join(tables)}; jobs: {', '.join(JOBS)}",
    )
