"""Trackers: what they are given, and what is said when one is missing or away."""

from __future__ import annotations

import sys
import types

import pytest

from conf.errors import SeedbedError
from megatron_train.metrics import trackers


def test_a_tracker_that_is_not_installed_is_refused_and_one_that_is_gets_every_number(
    monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(SeedbedError, match="tracker=mlflow needs the package mlflow"):
        trackers.open_tracker("mlflow", tmp_path, main=True)
    logged = []
    fake = types.SimpleNamespace(
        set_experiment=lambda name: None,
        start_run=lambda run_name: None,
        end_run=lambda: logged.append("end"),
        log_metrics=lambda values, step: logged.append((step, values)),
    )
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    tracker = trackers.open_tracker("mlflow", tmp_path, main=True)
    tracker.log({"step": 3, "loss": 1.5, "val_loss": None, "sources": {"web": {"loss": 2.0}}})
    tracker.close()
    assert logged == [(3, {"step": 3, "loss": 1.5, "sources/web/loss": 2.0}), "end"]
    trackers.open_tracker("mlflow", tmp_path, main=False).log({"step": 1})
    assert len(logged) == 2


def test_wandb_that_is_missing_or_refuses_is_one_line_each(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SeedbedError, match="tracker=wandb needs the package wandb") as refused:
        trackers.open_tracker("wandb", tmp_path, main=True)
    assert "pip install wandb" in refused.value.fix

    def refuse(**_):
        raise RuntimeError("api_key not configured (no-tty)\nmore lines")

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=refuse))
    with pytest.raises(
        SeedbedError, match=r"W&B cannot begin a run: api_key [^\n]*no-tty\)\n"
    ) as no:
        trackers.open_tracker("wandb", tmp_path, main=True)
    assert "WANDB_MODE=offline" in no.value.fix


def test_wandb_gets_every_number_at_its_step(monkeypatch, tmp_path):
    logged = []
    run = types.SimpleNamespace(
        log=lambda values, step: logged.append((step, values)), finish=lambda: logged.append("end")
    )
    told = {}
    fake = types.SimpleNamespace(init=lambda **settings: told.update(settings) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    tracker = trackers.open_tracker("wandb", tmp_path / "pretrain", main=True)
    tracker.log({"step": 3, "loss": 1.5, "val_loss": None, "sources": {"web": {"loss": 2.0}}})
    tracker.close()
    assert logged == [(3, {"step": 3, "loss": 1.5, "sources/web/loss": 2.0}), "end"]
    assert told["project"] == "mine"
    assert told["dir"] == str(tmp_path / "pretrain")
    assert (tmp_path / "pretrain").is_dir()


def test_the_real_wandb_writes_an_offline_run_into_the_folder(monkeypatch, tmp_path):
    pytest.importorskip("wandb", reason="the package wandb is not installed (docs/pretrain.md)")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tracker = trackers.open_tracker("wandb", tmp_path, main=True)
    for step in (1, 2):
        tracker.log({"step": step, "loss": 4.0 / step, "sources": {"web": {"loss": 2.0}}})
    tracker.close()
    [record] = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    written = record.read_bytes()
    # Its log is of length-prefixed protocol buffers, whose strings stand in it as they are.
    for told in (b"sources/web/loss", b"loss", str(tmp_path).encode(), b"seedbed"):
        assert told in written


def test_a_tracking_server_that_is_away_is_named(monkeypatch, tmp_path):
    def away(name):
        raise ConnectionError("no route")

    fake = types.SimpleNamespace(set_experiment=away, get_tracking_uri=lambda: "http://mlflow:5000")
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    with pytest.raises(
        SeedbedError, match="MLflow cannot begin a run at http://mlflow:5000: no route"
    ):
        trackers.open_tracker("mlflow", tmp_path, main=True)
