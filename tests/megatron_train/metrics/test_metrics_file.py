"""Rows of metrics.jsonl: what they hold, and which of them a resumed run keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from megatron_train.data.segments import Draw
from megatron_train.metrics import metrics_file
from megatron_train.metrics.metrics_file import RunFacts, StepRecord
from megatron_train.training.evaluation import Evaluation
from megatron_train.training.state import StepResult
from seedbed import jsonl

RESULT = StepResult(2.5, 512, 1.25, {"loss/a": 1.5, "share/a": 0.5, "loss/b": 0.0, "share/b": 0.0})
RECORD = StepRecord(
    step=3, result=RESULT, lr=0.01, draw=Draw(24, 8, 24), cosines=None, seconds=2.0, wait=0.5
)
ALONE = RunFacts(sources=["tokens"], seq_length=64, flops_per_token=1e9, world=2)
EVALUATION = Evaluation(2.0, {"a": 1.0, "b": 3.0}, 0.75)


def test_a_row_counts_tokens_of_all_steps_and_speed_of_its_own():
    row = metrics_file.row(RECORD, ALONE, None)
    assert (row["tokens"], row["tokens_per_s"], row["wait_share"]) == (1536, 256.0, 0.25)
    assert row["model_tflops"] == pytest.approx(512 / 2 * 1e9 / 2 / 1e12)
    assert (row["val_loss"], row["first_sample"]) == (None, 24)
    assert not {"sources", "val_losses", "val_bits_per_byte"} & row.keys()


def test_a_blend_s_row_tells_the_loss_of_each_source_that_was_read():
    row = metrics_file.row(RECORD, replace(ALONE, sources=["a", "b"]), EVALUATION)
    assert row["sources"] == {"a": {"loss": 3.0, "share": 0.5}}
    assert (row["val_loss"], row["val_losses"], row["val_bits_per_byte"]) == (
        2.0,
        {"a": 1.0, "b": 3.0},
        0.75,
    )


def test_the_line_names_the_layer_with_the_lowest_cosine():
    row = metrics_file.row(
        replace(RECORD, cosines={"layers.0": 0.99, "layers.1": 0.9}), ALONE, None
    )
    assert "fp8 gradient cosine >= 0.9000 (layers.1)" in metrics_file.line(row, 10, 61)
    assert "ETA 1:01" in metrics_file.line(row, 10, 61)


def test_a_resumed_run_keeps_rows_up_to_its_step_and_no_half_row(tmp_path):
    path = tmp_path / "metrics.jsonl"
    jsonl.append(path, {"step": 1, "loss": 3.0}, {"step": 2, "loss": 9.0, "refused": "a spike"})
    jsonl.append(path, {"step": 3, "loss": 2.0}, {"step": 4, "loss": 1.0})
    with path.open("a") as file:
        file.write('{"step": 5, "lo')
    metrics_file.keep_up_to(path, 3)
    assert [row["step"] for row in jsonl.rows(path)] == [1, 2, 3]
    assert metrics_file.losses_before(path, 3, 2) == [3.0, 2.0]
    metrics_file.keep_up_to(tmp_path / "nothing.jsonl", 3)
