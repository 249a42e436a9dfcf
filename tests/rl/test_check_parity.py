"""Parity of log-probabilities: what agrees passes, and a fault is named by its layer."""

from __future__ import annotations

import sys

import pytest
import torch

from conf.errors import SeedbedError
from rl import check_parity
from seedbed.inference import layer_outputs, process_engine
from tests.tiny_model import write_model

# The engine as it would be without our repair: vLLM reloads tied embeddings and keeps its old,
# repacked output layer.
FAULTY = """
from seedbed.inference import engine_process, worker_extension
worker_extension.Extension.seedbed_repack = lambda self: None
engine_process.main()
"""


def test_the_first_layer_that_differs_is_named():
    theirs = {
        "embedding": torch.ones(2, 3),
        "layer 1": torch.ones(2, 3),
        "layer 2": torch.ones(2, 3),
    }
    ours = {**theirs, "layer 1": torch.ones(2, 3) * 1.01, "layer 2": torch.zeros(2, 3)}
    assert layer_outputs.first_difference(ours, theirs, 1e-3).startswith(
        "layer 1 (relative difference 1.0e-02)"
    )
    assert layer_outputs.first_difference(ours, theirs, 0.1).startswith("layer 2")
    assert (
        layer_outputs.first_difference(theirs, theirs, 1e-3)
        == "the output layer (every layer before it agrees)"
    )
    assert layer_outputs.first_difference(
        {"embedding": torch.full((2, 3), torch.nan)}, theirs, 1.0
    ).startswith("embedding")
    assert "missing" in layer_outputs.first_difference(
        {"embedding": torch.ones(2, 3)}, theirs, 1e-3
    )


def test_context_parallelism_and_an_unknown_field_are_refused(tiny_model):
    for layout, said in (
        ("cp=2", "--layout cp=2: layers cut along the sequence"),
        ("tq=2", "unknown key parallel.tq"),
    ):
        with pytest.raises(SeedbedError, match=said):
            check_parity.main(["--model", str(tiny_model), "--layout", layout])
        with pytest.raises(SeedbedError, match=said):
            check_parity.main([f"model={tiny_model}", layout])


@pytest.mark.nightly
@pytest.mark.slow
def test_tied_embeddings_that_stay_old_after_a_reload_are_caught_and_sound_ones_pass(
    tmp_path, monkeypatch, capsys
):
    model = write_model(tmp_path / "hf", tied=True, seed=1)
    assert (
        check_parity.main(
            [
                "--model",
                str(model),
                "--tokens",
                "24",
                "--layout",
                "tp=2",
                "pp=2",
                "sequence_parallel=true",
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.count("differs") == 4
    monkeypatch.setattr(process_engine, "COMMAND", (sys.executable, "-c", FAULTY))
    with pytest.raises(
        SeedbedError, match=r"vLLM by .* first in the output layer \(every layer before it agrees\)"
    ):
        check_parity.main(["--model", str(model), "--tokens", "24"])
