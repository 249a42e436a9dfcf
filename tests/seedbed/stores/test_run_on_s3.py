"""A finished run on an object store answers as it does on a disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

import report.__main__
import seedbed
from seedbed import storage
from seedbed.stores.places import for_delta
from seedbed.stores.settings import delta_options
from seedbed.tables.arrow import arrow_schema
from seedbed.tables.log import commits
from seedbed.tables.reader import DeltaReader
from tests.report import tiny


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return tiny.write_run(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def remote(finished, s3):
    """The URI of a copy of the run."""
    files = storage.files_of(s3.root)
    for path in Path(finished).rglob("*"):
        if path.is_file():
            files.write(path.relative_to(finished).as_posix(), path.read_bytes())
    return s3.root


def test_the_notebook_and_the_queries_give_the_same(finished, remote):
    here, there = seedbed.open(finished), seedbed.open(remote.replace("s3://", "s3a://"))
    assert str(there.funnel()) == str(here.funnel())
    assert str(there.status()) == str(here.status())
    assert str(there.explain("first/a.py")) == str(here.explain("first/a.py"))
    assert there.table("files").rows() == here.table("files").rows()
    assert there.metrics("pretrain") == here.metrics("pretrain")
    assert there.table("decisions").lineage()["params"] == tiny.POLICY


def test_the_command_line_reads_it_too(remote, s3):
    command = [sys.executable, "-m", "spark_jobs", "funnel", f"output={remote}"]
    environment = {**os.environ, **s3.environment}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1].split() == ["documents", "3"]


def test_the_report_is_written_beside_it(finished, remote, capsys):
    assert report.__main__.main([f"output={remote}"]) == 0
    page = storage.read_text(remote, "report.html")
    assert f"{remote}/report.html" in capsys.readouterr().out
    report.__main__.main([f"output={finished}"])
    local = (Path(finished) / "report.html").read_text()
    assert page.replace(remote, str(finished)) == local


@pytest.mark.parametrize("name", ["a b", "50%", "h#x", "räum"])
@pytest.mark.parametrize("where", ["local", "s3"])
def test_tables_under_an_unusual_name_are_written_and_read(where, name, tmp_path, request):
    root = f"{tmp_path if where == 'local' else request.getfixturevalue('s3').root}/{name}"
    path = f"{root}/tables/files"
    rows = pa.Table.from_pylist([{"path": "x.py"}], arrow_schema("files"))
    for _ in range(2):
        options = delta_options(path)
        write_deltalake(for_delta(path), rows, mode="append", storage_options=options)
    db = DeltaReader(root)
    assert [row["path"] for row in db.sql("SELECT path FROM files")] == ["x.py", "x.py"]
    assert [version for version, _ in commits(path)] == [1, 0]
    assert db.committed_at("files").year > 2000
    assert len(seedbed.open(root).table("files", 0)) == 1
