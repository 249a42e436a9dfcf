"""A curate run that is killed and started again ends with the same tables and token shards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from seedbed.queries.certify import hashes
from spark_jobs.graph import JOBS
from tests import corpus

pytestmark = pytest.mark.slow
# The commits that trigger a kill: in ingest, between two tables of one job, between two jobs, and
# among the last writes.
KILL_AT = ("contents", "near_edges", "syntax", "decisions")


def test_a_run_killed_again_and_again_ends_in_the_same_tables(curated, tmp_path):
    source, whole = curated
    output = tmp_path / "killed"
    for table in KILL_AT:
        process = subprocess.Popen(corpus.command(source, output), start_new_session=True)
        commit = output / "tables" / table / "_delta_log" / f"{0:020}.json"
        while not commit.exists():
            assert process.poll() is None, f"ended before it wrote {table}"
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(corpus.command(source, output), check=True)
    assert hashes(str(output)) == hashes(str(whole))
    assert corpus.tokens_hash(output) == corpus.tokens_hash(whole)


def test_a_second_run_does_nothing(curated):
    source, whole = curated
    result = subprocess.run(
        corpus.command(source, whole), check=True, capture_output=True, text=True
    )
    assert result.stdout.count("up to date") == len(JOBS)
    assert f"0 of {len(JOBS)} jobs had something to do" in result.stdout


def test_explain_tells_the_story_of_a_near_copy_and_the_funnel_adds_up(curated):
    _, whole = curated

    def ask(*words: str) -> str:
        arguments = [sys.executable, "-m", "spark_jobs", *words, f"output={whole}"]
        return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout

    story = (
        ask("explain", "beta/broken.py")
        if "beta/broken.py" in ask("explain", "broken.py")
        else ask("explain", "broken.py")
    )
    assert "bytes in error" in story
    assert "decision" in story
    funnel = ask("funnel")
    assert "bad_utf8" in funnel
    assert "duplicate_exact" in funnel
    assert "documents" in ask("status")
