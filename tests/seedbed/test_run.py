"""The Python door: seedbed.open, its examples, its refusals, and what it does not import."""

from __future__ import annotations

import doctest
import importlib
import shutil
import subprocess
import sys

import duckdb
import pyarrow as pa
import pytest

import seedbed
from conf.errors import SeedbedError
from tests.report import tiny


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """A finished run at runs/demo, as the examples call it."""
    return tiny.write_run(tmp_path_factory.mktemp("door") / "runs/demo")


@pytest.fixture
def run(output):
    return seedbed.open(output)


@pytest.mark.parametrize("module", ["seedbed", "seedbed.run"])
def test_the_examples_of_the_docstrings_hold(module, output, monkeypatch):
    monkeypatch.chdir(output.parents[1])
    examples = {"seedbed": seedbed, "run": seedbed.open("runs/demo")}
    found = doctest.testmod(importlib.import_module(module), extraglobs=examples)
    assert found.attempted > 2
    assert found.failed == 0


def test_importing_it_loads_neither_spark_nor_arrow_nor_duckdb():
    code = (
        "import sys, seedbed; heavy = {'pyspark', 'pyarrow', 'duckdb', 'deltalake', 'pandas'}; "
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_asking_a_run_starts_no_spark(output):
    code = (
        f"import sys, seedbed; run = seedbed.open({str(output)!r}); run.funnel(); run.status(); "
        "run.what_if(cut=0.1); run.table('files').arrow(); sys.exit('pyspark' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_table_speaks_the_stream_interface_of_arrow(run):
    """Which is how Polars and DuckDB take it; each asks anew."""
    files = run.table("files")
    assert pa.table(files).equals(files.arrow())
    assert pa.RecordBatchReader.from_stream(files).read_all().num_rows == len(files) == 8
    assert duckdb.sql("SELECT count(*) FROM files").fetchall() == [(8,)]


def test_an_older_version_is_a_table_of_its_own(output, tmp_path):
    root = tmp_path / "run"
    shutil.copytree(output, root)
    tiny.write_table(root, "files", [], {"job": "newer", "inputs": {}})
    run = seedbed.open(root)
    assert (len(run.table("files")), len(run.table("files", 0))) == (0, 8)
    assert run.table("files", 0).lineage()["job"] == "test"
    assert run.table("files").lineage()["job"] == "newer"
    assert run.sql("SELECT count(*) AS n FROM files_at_0").rows() == [{"n": 8}]
    assert run.status()[0].version == 1


def test_a_uri_is_opened_like_a_folder(output, run):
    remote = seedbed.open(f"file://{output}")
    assert str(remote.funnel()) == str(run.funnel())
    assert remote.table("documents").arrow().equals(run.table("documents").arrow())
    assert remote.metrics("rl/grpo") == run.metrics("rl/grpo")


def test_metrics_end_before_a_line_that_a_kill_cut_short(tmp_path):
    tiny.write_ingested(tmp_path)
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "pretrain/metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "lo')
    assert seedbed.open(tmp_path).metrics("pretrain") == [{"step": 1}]


def test_a_notebook_shows_tables_with_what_a_row_says(run):
    html = run._repr_html_()
    assert "<td>files</td><td>0</td><td>8</td><td>One occurrence of a file" in html
    shown = run.table("contents")._repr_html_()
    assert "<script" not in shown
    assert shown.count("<tr>") == 7
    assert "…" in shown
    assert repr(run.tables).splitlines()[0].split() == ["files@0", "8", "rows"]
    assert repr(run.explain("c.py")).startswith("c.py  (first 1.0)\n")


@pytest.mark.parametrize(
    ("ask", "problem", "fix"),
    [
        (lambda run: run.table("fils"), "the run has no table 'fils'", "did you mean 'files'?"),
        (lambda run: run.table("files", 7), "files has no version 7", "from 0 to 0"),
        (lambda run: run.table("files", -1), "files has no version -1", "from 0 to 0"),
        (lambda run: run.metrics("pretraining"), "no metrics of 'pretraining'", "'pretrain'?"),
        (lambda run: run.metrics("stages"), "no metrics of 'stages'", "It has: curate, pretrain"),
        (lambda run: run.explain("nothing.py"), "no file of this run matches", "SHA-256"),
        (lambda run: run.what_if(cut=2), "cut=2 is not between 0 and 1", "such as 0.1"),
        (lambda run: run.what_if(per="repo"), "per=repo is unknown", "per=language"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(run, ask, problem, fix):
    with pytest.raises(SeedbedError) as caught:
        ask(run)
    assert problem in caught.value.problem
    assert fix in caught.value.fix


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(SeedbedError, match="no tables under"):
        seedbed.open(tmp_path)
