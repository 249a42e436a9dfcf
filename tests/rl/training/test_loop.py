"""The loop under SFT, DPO and GRPO: when it logs, shows and saves a step."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from rl.training import loop
from rl.training.loop import Algorithm, Training, minutes
from seedbed import jsonl


class Run:
    """A training run whose steps only count, and what happened in it, in order."""

    def __init__(self, out: Path, monkeypatch, done: int = 0):
        self.state, self.events = SimpleNamespace(step=done, lora=None), []
        cfg = SimpleNamespace(save_every=2, keep=3)
        monkeypatch.setattr(loop.processes, "is_main", lambda: True)
        monkeypatch.setattr(loop.processes, "on_main", lambda work: work())
        monkeypatch.setattr(loop.sharded, "save", self.save)

        def export(state, to, base, card):
            self.events.append((to, card))

        monkeypatch.setattr(loop.hf_export, "export", export)
        monkeypatch.setattr(loop.peft, "export", export)
        cards = {False: "of the model", True: "of the adapters"}
        monkeypatch.setattr(loop.Exported, "card", lambda _, adapter=False: cards[adapter])
        self.training = Training(cfg, self.state, Path("base"), out, "data")

    def save(self, state, folder, extra, keep):
        self.events.append(("save", state.step, folder.name, extra, keep))

    def step(self):
        self.state.step += 1
        self.events.append(self.state.step)
        return {"step": self.state.step}

    def line(self, row, eta):
        assert eta >= 0
        self.left = eta
        return f"line {row['step']}" if row["step"] % 2 else ""


@pytest.fixture
def run(tmp_path, monkeypatch):
    return Run(tmp_path, monkeypatch)


def test_every_step_is_logged_and_a_checkpoint_follows_every_second_and_the_last(run, capsys):
    extra, saved = lambda: {"more": run.state.step}, lambda: run.events.append("saved")
    run.training.run(3, Algorithm(run.step, run.line, extra, saved))
    assert run.events == [
        1,
        2,
        ("save", 2, "checkpoints", {"data": "data", "more": 2}, 3),
        "saved",
        3,
        ("save", 3, "checkpoints", {"data": "data", "more": 3}, 3),
        "saved",
    ]
    assert jsonl.rows(run.training.out / "metrics.jsonl") == [{"step": n} for n in (1, 2, 3)]
    assert capsys.readouterr().out == "line 1\nline 3\n"
    assert run.left == 0


def test_a_resumed_run_takes_the_steps_that_are_left(tmp_path, monkeypatch):
    run = Run(tmp_path, monkeypatch, done=2)
    run.training.run(3, Algorithm(run.step, run.line))
    assert run.events == [3, ("save", 3, "checkpoints", {"data": "data"}, 3)]


def test_a_run_that_has_taken_all_steps_takes_none_and_can_still_be_exported(tmp_path, monkeypatch):
    run = Run(tmp_path, monkeypatch, done=3)
    run.training.run(3, Algorithm(run.step, run.line))
    assert run.training.export() == tmp_path / "hf"
    assert run.events == [(tmp_path / "hf", "of the model")]


def test_adapters_are_exported_merged_and_apart_each_with_its_card(run, tmp_path):
    run.state.lora = object()
    assert run.training.export() == tmp_path / "hf"
    assert run.events == [
        (tmp_path / "hf", "of the model"),
        (tmp_path / "adapter", "of the adapters"),
    ]


def test_a_checkpoint_follows_the_row_of_its_step(run, monkeypatch):
    """A kill in between then leaves a row too many, which resuming drops, and never one too few."""

    def save(state, *_):
        assert jsonl.rows(run.training.out / "metrics.jsonl")[-1] == {"step": state.step}

    monkeypatch.setattr(loop.sharded, "save", save)
    run.training.run(2, Algorithm(run.step, run.line))


def test_other_processes_write_and_print_nothing(run, monkeypatch, capsys):
    monkeypatch.setattr(loop.processes, "is_main", lambda: False)
    run.training.run(1, Algorithm(run.step, run.line))
    assert not (run.training.out / "metrics.jsonl").exists()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (65.9, "1:05"), (3600, "60:00")])
def test_seconds_are_shown_as_minutes(seconds, text):
    assert minutes(seconds) == text
