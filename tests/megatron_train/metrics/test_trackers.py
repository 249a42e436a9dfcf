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


def test_a_tracking_server_that_is_away_is_named(monkeypatch, tmp_path):
    def away(name):
        raise ConnectionError("no route")

    fake = types.SimpleNamespace(set_experiment=away, get_tracking_uri=lambda: "http://mlflow:5000")
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    with pytest.raises(
        SeedbedError, match="MLflow cannot begin a run at http://mlflow:5000: no route"
    ):
        trackers.open_tracker("mlflow", tmp_path, main=True)
