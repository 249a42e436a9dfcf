"""Answers outlive a kill, and a damaged journal is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.errors import SeedbedError
from seedbed.inference.journal import Journal


def test_a_line_that_a_kill_cut_is_removed_and_all_before_it_is_kept(tmp_path: Path):
    path = tmp_path / "answers.jsonl"
    with Journal(path, "p") as journal:
        journal.add("a", text="1")
        journal.add("b", text="2")
    whole = path.read_bytes()
    for cut in (1, 5, len(whole) // 2 - 1):
        path.write_bytes(whole[:-cut])
        with Journal(path, "p") as journal:
            assert list(journal.answers) == ["a"]
            journal.add("b", text="2")
        assert path.read_bytes() == whole


def test_a_line_that_is_not_json_is_named_and_nothing_is_thrown_away(tmp_path: Path):
    path = tmp_path / "answers.jsonl"
    with Journal(path, "p") as journal:
        journal.add("a", text="1")
    damaged = b"no json\n" + path.read_bytes()
    path.write_bytes(damaged)
    with pytest.raises(SeedbedError, match=r"answers.jsonl:1 is not JSON"):
        Journal(path, "p")
    assert path.read_bytes() == damaged
