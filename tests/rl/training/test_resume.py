"""What a run that is started again keeps of the rows of the one before."""

from __future__ import annotations

import json
from types import SimpleNamespace

from conf.schema.rl import GrpoConfig
from rl.training import resume


def test_a_run_that_was_killed_before_its_first_checkpoint_keeps_no_row(tmp_path, monkeypatch):
    """Row 0, the reward before training, is written again."""
    monkeypatch.setattr(resume.hf_parity, "begin_from", lambda state, base: None)
    monkeypatch.setattr(resume.processes, "is_main", lambda: True)
    for name in ("metrics.jsonl", "rollouts.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps({"step": step}) + "\n" for step in (0, 1)))
    state = SimpleNamespace(step=0)
    assert (
        resume.start_or_resume(
            state, tmp_path, tmp_path, "data", GrpoConfig(), ("metrics.jsonl", "rollouts.jsonl")
        )
        == {}
    )
    assert [(tmp_path / name).read_text() for name in ("metrics.jsonl", "rollouts.jsonl")] == [
        "",
        "",
    ]


def test_a_run_that_goes_on_keeps_the_rows_up_to_its_checkpoint(tmp_path, monkeypatch):
    state = SimpleNamespace(step=0)
    manifest = {"extra": {"data": "data", "more": 1}}
    monkeypatch.setattr(resume.sharded, "latest", lambda folder: folder / "step_2")
    monkeypatch.setattr(resume.sharded, "read_manifest", lambda folder: manifest)
    monkeypatch.setattr(resume.sharded, "load", lambda state, folder: setattr(state, "step", 2))
    monkeypatch.setattr(resume.processes, "is_main", lambda: True)
    journal = tmp_path / "metrics.jsonl"
    journal.write_text("".join(json.dumps({"step": step}) + "\n" for step in range(5)))
    found = resume.start_or_resume(
        state, tmp_path, tmp_path, "data", GrpoConfig(), ("metrics.jsonl",)
    )
    assert found == manifest["extra"]
    assert [json.loads(line)["step"] for line in journal.read_text().splitlines()] == [0, 1, 2]
