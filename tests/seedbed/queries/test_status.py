"""The state of the tables, and which inputs moved on."""

from __future__ import annotations

from seedbed.queries.status import status
from seedbed.tables.catalog import CURATE_TABLES
from seedbed.tables.reader import DeltaReader
from tests.report import tiny


def test_status_has_a_line_a_table_and_tells_which_inputs_moved_on(unfinished, tmp_path):
    # documents records files@0
    tiny.write_verdicts(tmp_path)
    # files is at 1 now
    tiny.write_ingested(tmp_path)
    lines = {
        line.split()[0]: line for line in str(status(DeltaReader(unfinished))).splitlines()[1:]
    }
    assert list(lines) == list(CURATE_TABLES)
    assert lines["files"].split()[1:3] == ["8", "1"]
    assert lines["documents"].endswith("select_documents  (files was @0, is @1)")
    assert lines["token_index"].split() == ["token_index", "-"]


def test_in_a_notebook_the_status_is_a_table(finished):
    html = status(DeltaReader(finished))._repr_html_()
    assert "<tr><td>files</td><td>8</td><td>0</td>" in html
