"""A reason to drop is declared once: select, what-if, funnel, report and docs all take it."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from conf.loader import to_dict
from conf.schema.curate import SelectSettings
from report.page import build
from seedbed.queries import whatif
from seedbed.queries.funnel import funnel
from seedbed.tables import page, reasons
from seedbed.tables.arrow import arrow_type
from seedbed.tables.catalog import split_fields
from seedbed.tables.reader import DeltaReader
from seedbed.tables.reasons import CONTENT_REASONS, FILE_REASONS, Reason
from spark_jobs.select_documents import decisions
from tests.report import tiny
from tests.verdict_rows import FAULTS, GOOD, POLICY, VERDICTS, faulty

ROOT = Path(__file__).parents[3]
LONG = Reason("too_long", "too many bytes", "bytes > 620", "format_string('%d bytes > 620', bytes)")


@pytest.fixture(params=[0, len(CONTENT_REASONS)], ids=["first", "last"])
def one_more(request, monkeypatch):
    """The list with one more reason, before the quality cut or after it."""
    more = (*CONTENT_REASONS[: request.param], LONG, *CONTENT_REASONS[request.param :])
    monkeypatch.setattr(reasons, "CONTENT_REASONS", more)


def test_a_new_reason_is_applied_counted_and_told_after_one_edit(one_more, spark, tmp_path):
    tiny.write_ingested(tmp_path)
    tiny.write_clusters(tmp_path)
    tiny.write_verdicts(tmp_path)
    db = DeltaReader(str(tmp_path))
    query = (
        "SELECT content_sha256, c.shard, c.language, c.bytes, cluster_id, survivor, '' AS keeper, "
        "status, error_share, quality FROM contents c JOIN clusters USING (content_sha256) "
        "JOIN syntax USING (content_sha256) JOIN scores USING (content_sha256)"
    )
    rows = [(*row.values(), None, None) for row in db.sql(query)]
    policy = SelectSettings(drop_lowest=0.2)
    decided = decisions(spark.createDataFrame(rows, VERDICTS), policy).collect()
    by_reason = [row.reason for row in decided]
    assert LONG.name in by_reason
    assert {row.detail for row in decided if row.reason == LONG.name} <= {
        f"{row[3]} bytes > 620" for row in rows
    }

    params = {**to_dict(policy), "scorer": tiny.SCORER, "benchmarks": []}
    written = [row.asDict() for row in decided]
    tiny.write_table(tmp_path, "decisions", written, {"params": params, "inputs": {}})
    kept = [{"document_id": row.content_sha256} for row in decided if row.reason is None]
    tiny.write_table(tmp_path, "documents", kept)

    answer = whatif.what_if(DeltaReader(str(tmp_path)), whatif.Cut(share=0.2))
    assert answer.reasons == {name: by_reason.count(name) for name in answer.reasons}
    assert LONG.name in answer.reasons
    steps = [step.reason for step in funnel(DeltaReader(str(tmp_path)))]
    known = [name for name in reasons.names() if name in steps]
    assert LONG.name in known
    assert [name for name in steps if name in known] == known
    assert LONG.meaning in build(str(tmp_path))
    assert f"| `too_long` | too many bytes | `{LONG.condition}` |" in page.page()


def test_duckdb_gives_the_reasons_and_details_that_spark_gives():
    """The same rows and the same answers as in tests/spark_jobs/test_select.py."""
    db = duckdb.connect()
    db.execute(whatif.FORMAT)
    rows = [{**GOOD, **row} for row in faulty()]
    schema = pa.schema([(name, arrow_type(kind)) for name, kind in split_fields(VERDICTS)])
    table = pa.Table.from_pylist([_named(row, schema) for row in rows], schema)
    packed, bound = whatif.policy_struct(reasons.policy_values(to_dict(POLICY)))
    cut = "struct_pack(quality := 0.1, content_sha256 := 'fault-2', text := '0.1000')"
    query = (
        f"SELECT content_sha256, {reasons.first_reason(CONTENT_REASONS)}, "
        f"{reasons.first_detail(CONTENT_REASONS)} "
        f"FROM (SELECT *, {packed} AS policy, {cut} AS cut FROM verdicts) ORDER BY 1"
    )
    db.register("verdicts", table)
    found = db.execute(query, bound).fetchall()
    assert [row[1:] for row in found if row[0].startswith("fault")] == [
        (reason, detail) for reason, _, detail in FAULTS
    ]
    assert {row[1:] for row in found if row[0].startswith("good")} == {(None, None)}


def _named(row, schema):
    """The row with its structs, which are tuples, as dicts."""
    return {
        name: dict(zip([f.name for f in schema.field(name).type], value, strict=True))
        if isinstance(value, tuple)
        else value
        for name, value in row.items()
    }


def test_every_name_and_meaning_is_one_of_its_own():
    every = (*FILE_REASONS, reasons.DUPLICATE_EXACT, *CONTENT_REASONS)
    assert len({reason.name for reason in every}) == len(every)
    assert all(reasons.meaning(reason.name) == reason.meaning for reason in every)
    assert reasons.meaning("of a later version") == ""


def test_ingest_writes_no_reason_that_has_no_meaning():
    sources = [*(ROOT / "spark_jobs/sources").glob("*.py"), ROOT / "spark_jobs/ingest.py"]
    text = "\n".join(path.read_text() for path in sources)
    for reason in FILE_REASONS:
        assert f'"{reason.name}"' in text, reason.name
    returned = re.findall(r'return (?:None, )?"([a-z_0-9]+)"', text)
    assert set(returned) & {r.name for r in FILE_REASONS} >= {"not_code", "too_large", "nul"}
