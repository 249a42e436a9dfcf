"""Where a path or URI points to, and how each engine wants it."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from seedbed.stores.places import Place, for_delta, for_engine, is_uri, place, require_local


def test_a_uri_is_a_store_a_bucket_and_a_key_that_nothing_decodes():
    assert place("s3a://bucket/a b/50%/#1/") == Place("s3", "bucket", "a b/50%/#1")
    assert str(place("s3a://bucket/run/")) == "s3://bucket/run"
    assert place("hdfs://host:8020/run") == Place("hdfs", "host:8020", "/run")
    assert str(place("hdfs:///run")) == "hdfs:///run"
    account = "files@account.dfs.core.windows.net"
    assert place(f"abfss://{account}/run") == Place("abfss", account, "run")


def test_a_path_is_this_machine_with_or_without_file_before_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert place("run") == place(f"file://{tmp_path}/run") == Place("", "", f"{tmp_path}/run")
    assert is_uri("gs://bucket/run")
    assert not is_uri("file:///run")


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("ftp://host/run", "storage ftp:// is unknown"),
        ("s3:///run", "names no bucket"),
        ("abfss://container/run", "names no container and account"),
    ],
)
def test_a_uri_that_names_no_place_is_refused(uri, problem):
    with pytest.raises(SeedbedError, match=problem):
        place(uri)


def test_every_engine_gets_s3_under_its_own_name():
    assert for_engine("s3a://bucket/run", "sail") == "s3://bucket/run"
    assert for_engine("s3://bucket/run", "spark") == "s3a://bucket/run"
    assert for_engine("s3://bucket/run", "connect") == "s3a://bucket/run"
    assert for_engine("hdfs://host/run", "spark") == "hdfs://host/run"
    assert for_delta("s3a://bucket/a b/#ü%") == "s3://bucket/a%20b/%23%C3%BC%25"


@pytest.mark.parametrize("name", ["a%20b", "a?", "a*", "a[1]", "a{1}"])
def test_a_path_that_libraries_decode_or_expand_holds_no_tables(name):
    with pytest.raises(SeedbedError, match="decode or take for a pattern"):
        for_delta(f"s3://bucket/{name}")
    if name == "a%20b":
        with pytest.raises(SeedbedError, match="decode or take for a pattern"):
            for_delta(f"/tmp/{name}")
    else:
        assert for_delta(f"/tmp/{name}") == f"/tmp/{name}"


@pytest.mark.parametrize("name", ["a\\b", "a\tb", "a\x7fb"])
def test_a_path_that_is_read_as_another_holds_no_tables_on_a_disk_either(name, tmp_path):
    with pytest.raises(SeedbedError, match="decode or take for a pattern"):
        for_delta(f"/tmp/{name}")
    # delta-rs goes to where a link leads.
    (tmp_path / name).mkdir()
    (tmp_path / "plain").symlink_to(tmp_path / name)
    with pytest.raises(SeedbedError, match="decode or take for a pattern"):
        for_delta(f"{tmp_path}/plain/run")


def test_tables_on_hdfs_lie_under_plain_names():
    assert for_delta("hdfs://host/run-1") == "hdfs://host/run-1"
    with pytest.raises(SeedbedError, match="decode or take for a pattern"):
        for_delta("hdfs://host/a b")


def test_a_setting_that_must_be_local_says_so():
    require_local("score.scorer", "runs/x", "why")
    with pytest.raises(SeedbedError, match="s3://b/x is not on this machine: why"):
        require_local("score.scorer", "s3://b/x", "why")
