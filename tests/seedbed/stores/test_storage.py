"""Files on this machine and on an object store behave alike."""

from __future__ import annotations

import contextlib
import json

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from conf.errors import SeedbedError
from seedbed import storage
from seedbed.stores.settings import delta_options
from seedbed.tables.opening import open_table

# Spaces, a sign that begins an escape, one that begins a fragment, and letters beyond ASCII.
NAME = "räum 50% #1"


@pytest.fixture(params=["local", "s3", "gs"])
def root(request, tmp_path):
    if request.param == "local":
        return f"{tmp_path}/{NAME}"
    if request.param == "gs":
        return f"{request.getfixturevalue('gs')}/{NAME}"
    return f"{request.getfixturevalue('s3').root}/{NAME}"


def test_a_text_is_there_or_it_is_none(root):
    storage.write_text(root, "a/b.txt", "first")
    storage.write_text(root, "a/b.txt", "zweiter ü")
    assert storage.read_text(root, "a/b.txt") == "zweiter ü"
    assert storage.read_file(f"{root}/a/b.txt") == "zweiter ü".encode()
    assert storage.read_text(root, "a/none.txt") is None
    assert [storage.exists(root, name) for name in ("a/b.txt", "a", "none")] == [True, False, False]
    assert [storage.kind(f"{root}{end}") for end in ("/a/b.txt", "/a", "/n")] == [
        "file",
        "folder",
        "",
    ]


def test_files_are_listed_found_and_deleted(root):
    for name in ("t/train.bin", "t/train.bin.7", "t/deep/x.json", "u/y.json", "top.json"):
        storage.write_text(root, name, name)
    assert storage.file_sizes(root, "t") == {"train.bin": 11, "train.bin.7": 13}
    assert storage.file_sizes(root, "none") == {}
    assert storage.find(root, "*/y.json") == ["u/y.json"]
    assert storage.find(root, "t/*.bin") == ["t/train.bin"]
    assert storage.find(root, "t/*/x.json") == ["t/deep/x.json"]
    storage.delete(root, "t/train.bin")
    storage.delete(root, "none")
    storage.delete_folder(root, "t/deep")
    storage.delete_folder(root, "none")
    left = [info.path for info in storage.files_of(root).list("", recurse=True)]
    assert left == ["t/train.bin.7", "top.json", "u/y.json"]


def test_a_stream_appears_whole_or_not_at_all(root):
    files = storage.files_of(root)
    with files.open_writer("big.bin", "7") as stream:
        for number in range(30):
            stream.write(bytes([number]) * 400_000)
        assert "big.bin" not in storage.file_sizes(root, "")
    with contextlib.suppress(ZeroDivisionError), files.open_writer("cut.bin", "7") as stream:
        stream.write(b"half")
        stream.write(bytes(1 // 0))
    assert storage.file_sizes(root, "") == {"big.bin": 12_000_000}


def test_a_reader_seeks(root):
    storage.write_text(root, "x", "0123456789")
    with storage.files_of(root).open_reader("x") as stream:
        assert stream.seek(-3, 2) == 7
        assert stream.read() == b"789"
        stream.seek(2)
        assert stream.read(2) == b"23"
        assert stream.read(0) == b""
    with pytest.raises(FileNotFoundError):
        storage.files_of(root).open_reader("none")


def test_lines_are_appended(root):
    for number in range(3):
        storage.append_json_line(root, "m.jsonl", {"n": number})
    rows = [json.loads(line) for line in storage.read_text(root, "m.jsonl").splitlines()]
    assert rows == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_file_of_this_machine_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SeedbedError, match="cannot be written"):
        storage.write_text(f"{tmp_path}/file", "x", "")


@pytest.mark.parametrize("store", ["s3", "gs"])
def test_of_two_that_write_what_both_have_read_one_writes(store, request):
    found = request.getfixturevalue(store)
    files = storage.files_of(getattr(found, "root", found))
    assert files.read_version("x") is None
    first = files.create("x", b"1")
    assert first
    assert files.create("x", b"2") is None
    assert files.read_version("x") == (b"1", first)
    second = files.replace("x", b"3", first)
    assert second not in (None, first)
    assert files.replace("x", b"4", first) is None
    assert files.read("x") == b"3"


def test_a_table_is_written_twice_and_read_on_google(gs):
    path = f"{gs}/tables/x"
    for number in range(2):
        rows = pa.table({"a": [number]})
        write_deltalake(path, rows, mode="append", storage_options=delta_options(path))
    assert len(open_table(path).to_pyarrow_table()) == 2
