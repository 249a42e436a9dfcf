"""One run with everything on: two sources, document masks, background saves, and a bad step."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from conf.loader import load
from conf.schema.pretrain import PretrainConfig
from megatron_train import lineage
from megatron_train.checkpoint.step_folders import read_manifest
from tests.megatron_train import tiny
from tests.megatron_train.test_pretrain import OPTIONS, STEPS, rows

# It is in the eighth step, of 8 samples. The last checkpoint before it is that of step 6.
POISONED = 7 * 8 + 3


@pytest.fixture(scope="module")
def run(token_folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("guarded") / "run"
    shutil.copytree(token_folder, run)
    tiny_other = run / "more"
    shutil.copytree(token_folder / "tokens", tiny_other)
    blend = (
        f"data.blend=[{{name: code, tokens: {run}/tokens, weight: 3}}, "
        f"{{name: web, tokens: {tiny_other}}}]"
    )
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
    rewound = "REWOUND from step 8 to step 6: the loss at step 8 is inf; "
    assert rewound + "the samples since then are left out, 16 in all" in said
    written = rows(run[0])
    assert [row["step"] for row in written] == list(range(1, STEPS + 1))
    assert [row["first_sample"] for row in written] == [*range(0, 48, 8), *range(64, 64 + 64, 8)]
    assert all(math.isfinite(row["loss"]) for row in written)
    manifest = read_manifest(run[0] / "pretrain" / "checkpoints")
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
    # Both sources hold the same text.
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
