"""A table that cannot be read is one error; one that is not there is none."""

from __future__ import annotations

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from conf.errors import SeedbedError
from seedbed.tables.opening import open_table
from seedbed.tables.reader import DeltaReader


@pytest.fixture
def table(tmp_path):
    """(a table of a run, the first file of its log)."""
    path = tmp_path / "tables/files"
    write_deltalake(path, pa.table({"path": ["a.py"]}))
    return path, path / "_delta_log/00000000000000000000.json"


def test_a_table_that_is_not_there_is_none(tmp_path, table):
    assert open_table(tmp_path / "tables/contents") is None
    assert open_table(table[0]).version() == 0


def test_a_table_of_a_newer_delta_is_one_error(tmp_path, table):
    path, log = table
    log.write_text(log.read_text().replace('"minReaderVersion":1', '"minReaderVersion":99'))
    with pytest.raises(SeedbedError, match=r"cannot be read: .*99") as error:
        DeltaReader(str(tmp_path))
    assert str(path) in error.value.problem
    assert "rebuild=" in error.value.fix


def test_a_log_that_was_cut_is_one_error(tmp_path, table):
    table[1].write_text("")
    with pytest.raises(SeedbedError, match=r"cannot be read: .*protocol"):
        DeltaReader(str(tmp_path))
