"""The funnel over tables written without Spark, whole and half-finished."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from seedbed.queries.funnel import FunnelStep, funnel, funnel_so_far
from seedbed.tables.reader import DeltaReader
from tests.report import tiny


def test_the_funnel_counts_every_file_once_down_to_the_documents(finished):
    assert funnel(DeltaReader(finished)) == [
        FunnelStep("seen", 0, 8, "files"),
        FunnelStep("empty", 1, 7, "files"),
        FunnelStep("duplicate_exact", 1, 6, "contents"),
        FunnelStep("duplicate_near", 1, 5, "contents"),
        FunnelStep("low_quality", 2, 3, "contents"),
    ]
    assert str(funnel(DeltaReader(finished))).splitlines()[-1].split() == ["documents", "3"]


def test_an_unfinished_funnel_is_refused_by_name_and_told_as_far_as_it_reaches(unfinished):
    with pytest.raises(SeedbedError, match="the funnel needs table decisions"):
        funnel(DeltaReader(unfinished))
    steps = funnel_so_far(DeltaReader(unfinished))
    assert steps[-1] == FunnelStep("duplicate_near", 1, 5, "contents")


def test_a_funnel_that_does_not_add_up_is_refused_with_its_figures(tmp_path):
    tiny.write_ingested(tmp_path)
    tiny.write_verdicts(tmp_path)
    doubled = [
        {"content_sha256": one, "reason": None, "detail": None, "shard": 0}
        for one in 2 * tiny.distinct()
    ]
    tiny.write_table(tmp_path, "decisions", doubled)
    with pytest.raises(
        SeedbedError, match="6 contents, 12 decisions, 6 left after drops, 3 documents"
    ):
        funnel(DeltaReader(str(tmp_path)))


def test_in_a_notebook_the_funnel_is_a_table_with_the_meaning_of_each_reason(finished):
    html = funnel(DeltaReader(finished))._repr_html_()
    assert "<td>duplicate_near</td><td>its cluster keeps another</td><td>1</td>" in html
