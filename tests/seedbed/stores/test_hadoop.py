"""Files on HDFS while data nodes are lost. What is tested: seedbed/stores/hadoop.py.

A name node that names a lost data node for a while cannot be had here at will, so the client is a
double. tests/test_spark_yarn.py has real nodes.
"""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from seedbed.stores import hadoop, places


class Nodes:
    """Files by path; the first `refusals` blocks are given to a node that is gone."""

    def __init__(self, refusals: int):
        self.files: dict[str, bytes] = {}
        self.refusals = refusals

    def create(self, path, options):
        if path in self.files and not options.overwrite:
            raise FileExistsError(path)
        self.files[path] = b""
        return Block(self, path)

    def rename(self, old, new, overwrite):
        if new in self.files and not overwrite:
            raise FileExistsError(new)
        self.files[new] = self.files.pop(old)

    def delete(self, path, recursive=False):
        self.files.pop(path, None)


class Block:
    def __init__(self, nodes: Nodes, path: str):
        self.nodes, self.path = nodes, path

    def write(self, data):
        if self.nodes.refusals:
            self.nodes.refusals -= 1
            raise OSError("Connection refused (os error 111)")
        self.nodes.files[self.path] += data

    def close(self):
        pass


@pytest.fixture
def pauses(monkeypatch):
    found: list[float] = []
    monkeypatch.setattr(hadoop.time, "sleep", found.append)
    return found


def files(monkeypatch, refusals: int) -> tuple[hadoop.HadoopFiles, Nodes]:
    nodes = Nodes(refusals)
    monkeypatch.setattr(hadoop, "_connect", lambda where: nodes)
    return hadoop.HadoopFiles(places.place("hdfs://name:8020/run")), nodes


def test_a_file_is_written_once_the_lost_node_is_not_named_any_more(monkeypatch, pauses, capsys):
    store, nodes = files(monkeypatch, refusals=3)
    store.write("a/lineage.json", b"12")
    assert nodes.files == {"/run/a/lineage.json": b"12"}
    assert pauses == [1, 2, 4]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert "a/lineage.json was not written (Connection refused (os error 111))" in said[0]


def test_a_file_that_is_made_anew_by_a_second_attempt_is_ours(monkeypatch, pauses):
    store, nodes = files(monkeypatch, refusals=1)
    assert store.create("lease", b"ours")
    assert nodes.files == {"/run/lease": b"ours"}
    assert store.create("lease", b"theirs") is None
    assert nodes.files == {"/run/lease": b"ours"}


def test_where_no_attempt_goes_through_the_fault_is_one_line(monkeypatch, pauses):
    store, _ = files(monkeypatch, refusals=99)
    with pytest.raises(SeedbedError, match="HDFS failed: Connection refused"):
        store.write("a", b"1")
    assert pauses == list(hadoop.PAUSES_S)
