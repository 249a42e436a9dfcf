"""The tables of a run through delta-rs and DuckDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from conf.errors import SeedbedError
from seedbed.tables.catalog import CURATE_TABLES
from seedbed.tables.reader import DeltaReader
from tests.report import tiny


def test_an_empty_folder_is_refused_with_the_command_that_fills_it(tmp_path):
    with pytest.raises(SeedbedError, match="no tables under") as error:
        DeltaReader(str(tmp_path))
    assert "python -m spark_jobs run" in error.value.fix


def test_commits_are_dated_and_carry_their_lineage(tmp_path):
    db = DeltaReader(str(tiny.write_run(tmp_path)))
    unwritten = (
        "repos",
        "signatures",
        "near_misses",
        "repo_overlaps",
        "repo_clusters",
        "gold_scores",
        "recall",
    )
    assert db.names == tuple(name for name in CURATE_TABLES if name not in unwritten)
    assert db.lineage("decisions")["params"] == tiny.POLICY
    assert abs(datetime.now(UTC) - db.committed_at("files")) < timedelta(hours=1)
    assert db.bytes_on_disk("contents") > 0
    assert db.first("SELECT 1 AS one WHERE false") is None
