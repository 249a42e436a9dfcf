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
