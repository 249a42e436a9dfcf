"""contents -> syntax: tree-sitter's verdict, definitions and line statistics of every content.

    spark-submit spark_jobs/check_syntax.py --config conf/curate/local.yaml output=DIR

The job records and never drops. The paper drops files with syntax errors (Sec 2.2.1), but the share
of errors to accept is a policy and differs by language: because of macros, half of all sound C
files have errors.
"""

from __future__ import annotations

import sys
from dataclasses import fields
from functools import cache
from importlib.metadata import version
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from conf.errors import run_cli
from seedbed.kernels.source_code.grammars import GRAMMARS
from seedbed.kernels.source_code.lines import Lines, line_stats
from seedbed.kernels.source_code.parse_guard import ParseGuard
from seedbed.kernels.source_code.syntax import SyntaxFacts
from spark_jobs.runtime import python_map
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import ShardJob, main
from spark_jobs.runtime.store import TABLES

_FACTS = [field.name for field in fields(SyntaxFacts)]
_LINES = [field.name for field in fields(Lines)]
_ARROW = pa.schema(
    [
        ("content_sha256", pa.string()),
        ("parser", pa.string()),
        ("status", pa.string()),
        ("has_error", pa.bool_()),
        ("error_share", pa.float64()),
        ("functions", pa.int32()),
        ("classes", pa.int32()),
        ("comment_share", pa.float64()),
        ("lines", pa.int32()),
        ("max_line", pa.int32()),
        ("mean_line", pa.float64()),
        ("shard", pa.int32()),
    ]
)


def params(ctx: Context) -> dict[str, Any]:
    """All that a row depends on besides the content."""
    return {"timeout_s": ctx.cfg.syntax.timeout_s, "grammars": version("tree-sitter-language-pack")}


def transform(due: DataFrame, ctx: Context) -> DataFrame:
    """One row of `syntax` for each of the due contents."""
    timeout_s = ctx.cfg.syntax.timeout_s

    def check(batches: python_map.Batches) -> python_map.Batches:
        return checked(batches, timeout_s)

    rows = due.select("content_sha256", "text", "language", "shard")
    return python_map.map_in_arrow(rows, check, TABLES["syntax"].ddl, by_row=True)


def checked(batches: python_map.Batches, timeout_s: float) -> python_map.Batches:
    """One row of `syntax` for each row (content_sha256, text, language, shard)."""
    guard = _guard(timeout_s)
    for batch in batches:
        texts = batch["text"].to_pylist()
        grammars = [GRAMMARS.get(name or "", ()) for name in batch["language"].to_pylist()]
        raws = [text.encode() for text in texts]
        verdicts = guard.verdicts(list(zip(raws, grammars, strict=True)))
        columns: dict[str, Any] = {
            "content_sha256": batch["content_sha256"].to_pylist(),
            "status": [status for status, _ in verdicts],
            "shard": batch["shard"].to_pylist(),
        }
        for name in _FACTS:
            columns[name] = [facts and getattr(facts, name) for _, facts in verdicts]
        lines = [line_stats(text) for text in texts]
        for name in _LINES:
            columns[name] = [getattr(stats, name) for stats in lines]
        arrays = [pa.array(columns[field.name], field.type) for field in _ARROW]
        yield pa.record_batch(arrays, schema=_ARROW)


@cache
def _guard(timeout_s: float) -> ParseGuard:
    """The guard of this process. It serves all partitions, as a start costs half a second."""
    return ParseGuard(timeout_s)


JOB = ShardJob("check_syntax", output="syntax", params=params, transform=transform)

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv), sys.argv[1:])
