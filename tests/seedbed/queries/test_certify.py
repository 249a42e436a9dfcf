"""The certificate: one hash for the same rows, another for any change; versions stay apart."""

from __future__ import annotations

import pytest
from deltalake import DeltaTable

from conf.errors import SeedbedError
from seedbed.queries.certify import certify, hashes
from spark_jobs.__main__ import main
from tests.report import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return str(tiny.write_run(tmp_path_factory.mktemp("run")))


def rows_of(run: str, table: str) -> list[dict]:
    return DeltaTable(f"{run}/tables/{table}").to_pyarrow_table().to_pylist()


@pytest.mark.parametrize("table", ["files", "documents", "syntax"])
def test_hashes_depend_on_rows_and_not_on_files_or_order(run, tmp_path, table):
    rows = rows_of(run, table)
    column = "path" if table == "files" else "language" if table == "documents" else "parser"
    tiny.write_ingested(tmp_path)
    found = {}
    for name, these in (
        ("same", rows[::-1]),
        ("doubled", [*rows, rows[0]]),
        ("two doubled", [*rows, rows[0], rows[1]]),
        ("lost", rows[1:]),
        ("changed", [{**rows[0], column: "x"}, *rows[1:]]),
        ("null", [{**rows[0], column: None}, *rows[1:]]),
        ("empty", [{**rows[0], column: ""}, *rows[1:]]),
    ):
        tiny.write_table(tmp_path, table, these)
        found[name] = hashes(str(tmp_path), (table,))[table]
    assert found["same"] == hashes(run)[table]
    assert len(set(found.values())) == len(found)


def test_every_version_has_its_own_line(run, tmp_path, capsys):
    tiny.write_table(tmp_path, "files", rows_of(run, "files"))
    tiny.write_table(tmp_path, "files", rows_of(run, "files")[1:])
    tiny.write_table(tmp_path, "files", rows_of(run, "files"))
    lines = certify(str(tmp_path), ["files@0", "files@1", "files"]).splitlines()
    name, version, rows, digest = lines[0].split()
    assert (name, version, rows, len(digest)) == ("files", "@0", "8", 32)
    assert lines[1].split()[:3] == ["files", "@1", "7"]
    assert lines[2].split() == ["files", "@2", "8", digest]
    assert lines[1].split()[3] != digest
    main(["certify", f"output={tmp_path}"])
    assert capsys.readouterr().out.splitlines()[0] == lines[2]


def test_the_last_line_speaks_for_all_tables(run, tmp_path):
    whole = certify(run, []).splitlines()[-1].split()
    assert whole[0] == "all"
    assert certify(run, ["files", "contents"]).splitlines()[-1].split() != whole


@pytest.mark.parametrize(
    ("item", "problem"), [("fills", "'fills' is not a table"), ("files@9", "no version 9")]
)
def test_unknown_tables_and_versions_are_refused(run, item, problem):
    with pytest.raises(SeedbedError, match=problem):
        certify(run, [item])
