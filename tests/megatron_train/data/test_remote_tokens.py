"""Token shards at a URI are copied once, and only what their manifest names is used."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from conf.schema.pretrain import DataConfig, PretrainConfig, SourceConfig
from megatron_train.data.manifest import read_manifest, read_sources, verify_shards
from megatron_train.data.remote_tokens import local_tokens
from seedbed import storage


@pytest.fixture
def remote(token_folder, s3, tmp_path, monkeypatch):
    """The URI of a copy of the token folder; the copies of it go to tmp_path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = storage.files_of(f"{s3.root}/tokens")
    for path in (token_folder / "tokens").rglob("*"):
        if path.is_file():
            files.write(path.relative_to(token_folder / "tokens").as_posix(), path.read_bytes())
    return f"{s3.root}/tokens"


def test_a_blend_reads_shards_at_a_uri(remote, token_folder, tmp_path):
    sources = read_sources(DataConfig([SourceConfig("far", remote)]), tmp_path)
    verify_shards(sources["far"], contents=True)
    assert sources["far"].identity == read_manifest(token_folder / "tokens").identity


def test_a_copy_is_made_once(remote):
    folder = local_tokens(remote)
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("*.bin")}
    assert stamps
    assert local_tokens(remote) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.bin")} == stamps


def test_a_shard_that_is_another_one_is_refused(remote):
    [name] = storage.find(remote, "train-00000.bin")
    storage.write_text(remote, name, "other")
    with pytest.raises(SeedbedError, match="is not what its manifest names"):
        local_tokens(remote)
    storage.delete(remote, name)
    with pytest.raises(SeedbedError, match=r"train-00000\.bin is missing"):
        local_tokens(remote)


def test_a_folder_without_a_manifest_is_refused(s3):
    with pytest.raises(SeedbedError, match=r"manifest\.json does not exist"):
        local_tokens(f"{s3.root}/none")


def test_training_writes_to_this_machine_alone():
    with pytest.raises(SeedbedError, match="is not on this machine") as error:
        PretrainConfig(output="s3://bucket/run").check()
    assert "data.blend" in error.value.fix
