"""Status, funnel and explain over tables written without Spark, whole and half-finished."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from conf.errors import SeedbedError
from seedbed.queries import explain
from seedbed.queries.explain import OTHER_TABLE_NAMES, TABLE_NAMES, FunnelStep
from seedbed.tables.reader import DeltaReader
from spark_jobs.__main__ import main
from spark_jobs.runtime.store import TABLES
from tests.report import tiny

A, B, C, CSS = (
    tiny.sha(tiny.TEXTS[path])
    for path in ("first/a.py", "first/b.py", "first/c.py", "second/e.css")
)
# of the two near duplicates
KEPT, DROPPED = sorted((A, B))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return str(tiny.write_run(tmp_path_factory.mktemp("run")))


@pytest.fixture
def unfinished(tmp_path):
    """Stopped after clusters."""
    tiny.write_ingested(tmp_path)
    tiny.write_clusters(tmp_path)
    return str(tmp_path)


def test_the_names_are_those_of_the_declared_tables():
    assert tuple(TABLES) == (*TABLE_NAMES, *OTHER_TABLE_NAMES[:2])


def test_the_funnel_counts_every_file_once_down_to_the_documents(run):
    assert explain.funnel(run) == [
        FunnelStep("seen", 0, 8, "files"),
        FunnelStep("empty", 1, 7, "files"),
        FunnelStep("duplicate_exact", 1, 6, "contents"),
        FunnelStep("duplicate_near", 1, 5, "contents"),
        FunnelStep("low_quality", 2, 3, "contents"),
    ]
    assert explain.funnel_text(run).splitlines()[-1].split() == ["documents", "3"]


def test_an_unfinished_funnel_is_refused_by_name_and_told_as_far_as_it_reaches(unfinished):
    with pytest.raises(SeedbedError, match="the funnel needs table decisions"):
        explain.funnel(unfinished)
    steps = explain.funnel_so_far(DeltaReader(unfinished, TABLE_NAMES))
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
        explain.funnel(str(tmp_path))


def test_status_has_a_line_a_table_and_tells_which_inputs_moved_on(unfinished, tmp_path):
    # documents records files@0
    tiny.write_verdicts(tmp_path)
    # files is at 1 now
    tiny.write_ingested(tmp_path)
    lines = {line.split()[0]: line for line in explain.status(unfinished).splitlines()[1:]}
    assert list(lines) == list(TABLE_NAMES)
    assert lines["files"].split()[1:3] == ["8", "1"]
    assert lines["documents"].endswith("select_documents  (files was @0, is @1)")
    assert lines["token_index"].split() == ["token_index", "-"]


def test_explain_tells_the_whole_story_of_a_survivor(run):
    story = explain.explain(run, KEPT)
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


def test_explain_names_the_survivor_and_the_reason_of_a_dropped_copy(run):
    story = explain.explain(run, DROPPED)
    assert f"of 2; Jaccard 0.820 to the survivor {KEPT[:12]}" in story
    assert "  decision     dropped: duplicate_near (cluster)" in story
    assert "  document" not in story


def test_explain_finds_a_file_by_the_end_of_its_path_and_lists_its_exact_copies(run):
    for target in ("c.py", "site-packages/c.py", C[:12]):
        story = explain.explain(run, target)
        assert f"  content      {C}" in story
        assert "  exact copies 1: second 1.0 copy_of_c.py" in story
        assert "  tokens       4 in train-00000.bin at offset" in story


def test_explain_tells_what_ingest_dropped(run):
    assert "dropped at ingest: empty" in explain.explain(run, "empty.py")


def test_explain_of_a_half_finished_run_says_what_has_not_been_done(unfinished, tmp_path):
    # ingested since, not compared
    tiny.write_table(tmp_path, "clusters", [])
    story = explain.explain(unfinished, CSS)
    assert "  near dups    not compared yet" in story
    assert "decision" not in story
    tiny.write_table(tmp_path, "decisions", [])
    assert "  decision     not made yet" in explain.explain(unfinished, CSS)


@pytest.mark.parametrize("target", ["nothing.py", "0" * 64, "' OR 1=1 --"])
def test_explain_refuses_what_it_cannot_find(run, target):
    with pytest.raises(SeedbedError, match="no file of this run matches"):
        explain.explain(run, target)


def test_an_empty_folder_is_refused_with_the_command_that_fills_it(tmp_path):
    with pytest.raises(SeedbedError, match="no tables under") as error:
        explain.status(str(tmp_path))
    assert "python -m spark_jobs run" in error.value.fix


def test_commits_are_dated_and_carry_their_lineage(run):
    db = DeltaReader(run, TABLE_NAMES)
    unwritten = (
        "repos",
        "signatures",
        "near_misses",
        "repo_overlaps",
        "repo_clusters",
        "gold_scores",
        "recall",
    )
    assert db.names == tuple(name for name in TABLE_NAMES if name not in unwritten)
    assert db.lineage("decisions")["params"] == {"scorer": tiny.SCORER}
    assert abs(datetime.now(UTC) - db.committed_at("files")) < timedelta(hours=1)
    assert db.bytes_on_disk("contents") > 0
    assert db.first("SELECT 1 AS one WHERE false") is None


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["status"], "status needs output=DIR"),
        (["explain", "output=runs/x"], "explain takes one path or SHA-256, got 0"),
        (["funnel", "output=runs/x", "more"], "funnel does not take 'more'"),
        (["fummel"], "unknown command 'fummel'"),
    ],
)
def test_wrong_commands_are_refused(argv, problem):
    with pytest.raises(SeedbedError, match=problem):
        main(argv)
