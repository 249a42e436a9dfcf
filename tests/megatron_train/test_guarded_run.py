"""One run with everything on: two sources, document masks, saves in the background, and samples
that break a step.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import types
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.pretrain import GuardConfig, PretrainConfig
from megatron_train import lineage
from megatron_train.checkpoint import sharded
from megatron_train.metrics import metrics_file, trackers
from megatron_train.training.loss_guard import Guard
from megatron_train.training.step import BadStep
from tests.megatron_train import tiny
from tests.megatron_train.test_pretrain import OPTIONS, STEPS, rows

# in the eighth step, of 8 samples; the last checkpoint before it is of step 6
POISONED = 7 * 8 + 3


@pytest.fixture(scope="module")
def run(token_folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("guarded") / "run"
    shutil.copytree(token_folder, run)
    tiny_other = run / "more"
    shutil.copytree(token_folder / "tokens", tiny_other)
    blend = f"data.blend=[{{name: code, tokens: {run}/tokens, weight: 3}}, {{name: web, tokens: {tiny_other}}}]"
    options = [
        *OPTIONS,
        blend,
        "data.document_mask=true",
        "async_save=true",
        "guard.not_finite=rewind",
    ]
    options += ["straggler_every=7", "profile_step=2", f"output={run}"]
    script = str(Path(__file__).with_name("poisoned_pretrain.py"))
    run.joinpath("said.txt").write_text(tiny.launch(1, script, str(POISONED), *options))
    return run, options


def test_a_poisoned_step_is_rewound_and_its_samples_are_left_out(run):
    said = (run[0] / "said.txt").read_text()
    assert (
        "REWOUND from step 8 to step 6: the loss at step 8 is inf; the samples since then are left out, 16 in all"
        in said
    )
    written = rows(run[0])
    assert [row["step"] for row in written] == list(range(1, STEPS + 1))
    assert [row["first_sample"] for row in written] == [*range(0, 48, 8), *range(64, 64 + 64, 8)]
    assert all(math.isfinite(row["loss"]) for row in written)
    manifest = sharded.read_manifest(run[0] / "pretrain" / "checkpoints")
    assert (manifest["step"], manifest["extra"]["skipped_samples"]) == (STEPS, 16)


def test_lineage_knows_which_samples_the_rewind_left_out(run):
    cfg = load(PretrainConfig, None, run[1])
    order = lineage.Order.of(cfg)
    assert order.first_sample(7) == 64
    assert order.step_of(POISONED) is None


def test_the_loss_is_told_by_source_and_the_shares_follow_the_weights(run):
    written = rows(run[0])
    shares = [row["sources"]["code"]["share"] for row in written]
    assert sum(shares) / STEPS == pytest.approx(0.75, abs=0.02)
    for row in written:
        parts = row["sources"].values()
        assert sum(part["loss"] * part["share"] for part in parts) == pytest.approx(
            row["loss"], rel=1e-5
        )
    last = written[-1]
    # the same text
    assert (
        last["val_losses"]["code"] == last["val_losses"]["web"] == pytest.approx(last["val_loss"])
    )
    assert 0 < last["val_bits_per_byte"] < 8


def test_the_line_and_the_row_say_speed_waiting_and_memory(run):
    row = rows(run[0])[3]
    assert row["model_tflops"] > 0
    assert 0 <= row["wait_share"] < 1
    assert row["memory_gb"] > 0.1
    assert "TFLOP/s  wait" in (run[0] / "said.txt").read_text()
    assert (
        json.loads((run[0] / "pretrain" / "stragglers.jsonl").read_text().splitlines()[0])["step"]
        == 7
    )
    assert (run[0] / "pretrain" / "trace-0.json").stat().st_size > 1000


def test_a_spike_lies_above_the_window_and_only_a_full_window_judges():
    guard = Guard(GuardConfig(spike_deviations=3.0, window=4), [2.0, 2.2, 1.8])
    assert guard.limit() == math.inf
    guard.accept(2.0)
    assert guard.limit() == pytest.approx(2.0 + 3 * math.sqrt(0.02))
    assert Guard(GuardConfig(), [1.0] * 100).limit() == math.inf


def test_a_bad_step_stops_skips_or_rewinds_as_configured_and_not_for_ever():
    bad, spike = BadStep("loss", math.nan, 4), BadStep("loss", 9.0, 4, is_spike=True)
    with pytest.raises(BadStep, match="the loss at step 5 is nan"):
        Guard(GuardConfig(), []).decide(bad)
    guard = Guard(GuardConfig(not_finite="skip", tries=2), [])
    assert (guard.decide(bad), guard.decide(spike)) == ("skip", "rewind")
    with pytest.raises(SeedbedError, match=r"3 steps in a row were refused, guard\.tries=2"):
        guard.decide(bad)
    guard.accept(1.0)


def test_slow_processes_are_named_and_even_ones_are_not():
    assert metrics_file.straggler_report([1.0, 1.05, 0.98, 1.0], ["a", "a", "b", "b"]) is None
    said = metrics_file.straggler_report([1.0, 1.0, 1.0, 1.5], ["a", "a", "b", "b"])
    assert (
        said
        == "slow: process 3 on b 1.50x the median of 1.000 s until gradients are ready (1 of 4 processes)"
    )


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


def test_a_disk_without_room_is_refused_before_anything_is_written(monkeypatch, tmp_path):
    (tmp_path / "step_00000001").mkdir()
    monkeypatch.setattr(sharded.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=2e9))
    with pytest.raises(SeedbedError, match=r"takes 5\.00 GB and .* has 2\.00 GB free"):
        sharded._make_room(tmp_path, tmp_path / "step_00000002.partial", 5_000_000_000)
    assert [p.name for p in tmp_path.iterdir()] == ["step_00000001"]
