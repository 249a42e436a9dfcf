"""The job that checks syntax."""

from __future__ import annotations

from conf.schema.curate import CurateConfig
from spark_jobs.check_syntax import JOB
from spark_jobs.runtime.job import execute
from spark_jobs.runtime.store import Store
from tests.report import tiny

PYTHON = b"""# a comment
class Box:
    def get(self):  # another
        return lambda: 1


async def make():
    return Box()
"""


def test_the_job_writes_one_row_a_content_and_has_nothing_to_do_afterwards(spark, tmp_path):
    store = Store(lambda: spark, str(tmp_path))
    columns = ("content_sha256", "text", "bytes", "language", "shard")
    rows = [
        ("0" * 64, PYTHON.decode(), len(PYTHON), "Python", 0),
        ("f" * 64, "{% if x %}\n", 11, "Jinja", 1),
    ]
    contents = [dict(zip(columns, row, strict=True)) for row in rows]
    tiny.write_table(tmp_path, "contents", contents)
    cfg = CurateConfig(output=str(tmp_path), shards=2)
    summary = execute(JOB, cfg)
    assert summary is not None
    assert (summary.rows_in, summary.rows_out) == (2, 2)
    python, jinja = store.read("syntax").orderBy("content_sha256").collect()
    assert (python["status"], python["parser"], python["functions"], python["lines"]) == (
        "ok",
        "python",
        2,
        8,
    )
    assert (jinja["status"], jinja["parser"], jinja["has_error"], jinja["max_line"]) == (
        "no_parser",
        None,
        None,
        10,
    )
    assert execute(JOB, cfg) is None
