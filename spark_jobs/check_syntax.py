"""contents -> syntax: tree-sitter's verdict, definitions and line statistics of every content.

    spark-submit spark_jobs/check_syntax.py --config conf/curate/local.yaml output=DIR

The job records and never drops. The paper drops files with syntax errors (Sec 2.2.1), but the share
of errors to accept is a policy and differs by language: because of macros, half of all sound C
files have errors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from conf.errors import run_cli
from seedbed.kernels.source_code.grammars import GRAMMARS
from seedbed.kernels.source_code.parse_guard import ParseGuard
from seedbed.kernels.source_code.syntax import line_stats
from spark_jobs.runtime import python_map
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import ShardJob, main
from spark_jobs.runtime.store import TABLES

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

    def check(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with ParseGuard(timeout_s) as guard:
            for batch in batches:
                rows = [_row(guard, **content) for content in batch.to_pylist()]
                yield pa.RecordBatch.from_pylist(rows, schema=_ARROW)

    rows = due.select("content_sha256", "text", "language", "shard")
    return python_map.map_in_arrow(rows, check, TABLES["syntax"].ddl)


def _row(
    guard: ParseGuard, content_sha256: str, text: str, language: str | None, shard: int
) -> dict[str, Any]:
    status, facts = guard.facts(text.encode(), GRAMMARS.get(language or "", ()))
    found = asdict(facts) if facts else {}
    return {
        "content_sha256": content_sha256,
        "status": status,
        **found,
        **asdict(line_stats(text)),
        "shard": shard,
    }


JOB = ShardJob("check_syntax", output="syntax", params=params, transform=transform)

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv), sys.argv[1:])
