"""One file's whole story, of finished and half-finished runs."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from seedbed.queries.explain import explain
from seedbed.tables.reader import DeltaReader
from tests.report import tiny

A, B, C, CSS = (
    tiny.sha(tiny.TEXTS[path])
    for path in ("first/a.py", "first/b.py", "first/c.py", "second/e.css")
)
# of the two near duplicates
KEPT, DROPPED = sorted((A, B))


def test_explain_tells_the_whole_story_of_a_survivor(finished):
    story = explain(DeltaReader(finished), KEPT)
    for line in (
        f"  content      {KEPT}",
        f"  ingest       Python, {len(tiny.BODY):,} bytes, license MIT",
        "  exact copies 0",
        f"  near dups    cluster {KEPT[:12]} of 2; is the survivor",
        f"               edge to {DROPPED[:12]}: Jaccard 0.820 (estimated 0.800, band 3)",
        "  syntax       p: no errors; 1 functions, 0 classes, 30 lines, 0% comments",
        "  decision     kept",
    ):
        assert line in story.splitlines()


def test_explain_names_the_survivor_and_the_reason_of_a_dropped_copy(finished):
    story = explain(DeltaReader(finished), DROPPED)
    assert f"of 2; Jaccard 0.820 to the survivor {KEPT[:12]}" in story
    assert "  decision     dropped: duplicate_near (cluster)" in story
    assert "  document" not in story


def test_explain_finds_a_file_by_the_end_of_its_path_and_lists_its_exact_copies(finished):
    for target in ("c.py", "site-packages/c.py", C[:12]):
        story = explain(DeltaReader(finished), target)
        assert f"  content      {C}" in story
        assert "  exact copies 1: second 1.0 copy_of_c.py" in story
        assert "  tokens       4 in train-00000.bin at offset" in story


def test_explain_tells_what_ingest_dropped(finished):
    assert "dropped at ingest: empty" in explain(DeltaReader(finished), "empty.py")


def test_explain_of_a_half_finished_run_says_what_has_not_been_done(unfinished, tmp_path):
    # ingested since, not compared
    tiny.write_table(tmp_path, "clusters", [])
    story = explain(DeltaReader(unfinished), CSS)
    assert "  near dups    not compared yet" in story
    assert "decision" not in story
    tiny.write_table(tmp_path, "decisions", [])
    assert "  decision     not made yet" in explain(DeltaReader(unfinished), CSS)


@pytest.mark.parametrize("target", ["nothing.py", "0" * 64, "' OR 1=1 --"])
def test_explain_refuses_what_it_cannot_find(finished, target):
    with pytest.raises(SeedbedError, match="no file of this run matches"):
        explain(DeltaReader(finished), target)
