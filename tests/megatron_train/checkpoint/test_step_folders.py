"""Checkpoint folders: which is the newest, and room for one more."""

from __future__ import annotations

import types

import pytest

from conf.errors import SeedbedError
from megatron_train.checkpoint import step_folders


def test_latest_naming_a_folder_that_is_gone_is_an_error(tmp_path):
    assert step_folders.latest(tmp_path) is None
    (tmp_path / "latest").write_text("step_00000003\n")
    with pytest.raises(SeedbedError, match="names step_00000003, which is not there"):
        step_folders.latest(tmp_path)


def test_a_disk_without_room_is_refused_before_anything_is_written(monkeypatch, tmp_path):
    (tmp_path / "step_00000001").mkdir()
    (tmp_path / "step_00000001" / "manifest.json").write_text("{}")
    (tmp_path / "latest").write_text("step_00000001\n")
    monkeypatch.setattr(
        step_folders.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=2e9)
    )
    with pytest.raises(SeedbedError, match=r"takes 5\.00 GB and .* has 2\.00 GB free"):
        step_folders.make_room(tmp_path, tmp_path / "step_00000002.partial", 5_000_000_000, 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["latest", "step_00000001"]


def test_steps_are_ordered_by_number_not_by_name(tmp_path):
    for step in (99_999_999, 100_000_000, 100_000_001):
        partial = tmp_path / f"step_{step:08d}.partial"
        step_folders.make_room(tmp_path, partial, 1, 2)
        step_folders.publish(partial, partial.with_suffix(""), {"step": step}, 2)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["latest", "step_100000000", "step_100000001"]
