"""The model card of post-training: what it names, and how a base is known again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml

from conf.schema.layout import ModelConfig
from conf.schema.lora import LoraConfig
from conf.schema.rl import SftConfig
from rl.training.export_card import Exported, identity
from rl.training.run_tables import StageTables
from seedbed import jsonl


@pytest.fixture
def exported(tmp_path):
    out = tmp_path / "run" / "rl" / "sft"
    step = out / "checkpoints" / "step_00000007"
    step.mkdir(parents=True)
    (out / "checkpoints" / "latest").write_text("step_00000007\n")
    manifest = {
        "step": 7,
        "architecture": {},
        "extra": {"data": "d4ta"},
        "made_with": {"torch": "2.13"},
    }
    (step / "manifest.json").write_text(json.dumps(manifest))
    rows = [{"step": n, "loss": 8.5 - n, "heldout_loss": None, "seconds": 1} for n in (6, 7)]
    jsonl.write(out / "metrics.jsonl", [*rows, {"step": 8, "loss": 0.0}])
    base = tmp_path / "models--some--base" / "snapshots"
    base.mkdir(parents=True)
    (base / "model.safetensors").write_bytes(b"weights")
    state = SimpleNamespace(
        step=7, model=ModelConfig(), vocab_size=512, dtype="bf16", lora=LoraConfig(rank=4)
    )
    cfg = replace(SftConfig(), output=str(tmp_path / "run"), base=str(base))
    return Exported(cfg, state, base, out)


def test_a_card_names_base_samples_tables_figures_and_settings(exported):
    StageTables(exported.cfg.output, "sft", {}).begin("problems")
    card = exported.card()
    front = yaml.safe_load(card.split("---")[1])
    assert front["base_model"] == "some/base"
    assert front["library_name"] == "transformers"
    for told in (
        "# run, sft, step 7",
        "`step_00000007` of",
        "- samples: hash `d4ta`",
        "- base: `some/base`, `sha256sum *.safetensors | sha256sum`",
        "- table: problems@",
        "- made with torch 2.13",
        "| loss | 1.5 |",
        "\ntarget_heldout_loss: ",
    ):
        assert told in card, told
    # Not a figure: the number of the step, its time, and what was not measured.
    assert "| step |" not in card
    assert "| seconds |" not in card
    assert "| heldout_loss |" not in card


def test_a_card_of_adapters_says_how_to_put_them_on_their_base(exported):
    card = exported.card(adapter=True)
    assert yaml.safe_load(card.split("---")[1])["library_name"] == "peft"
    assert "Adapters of rank 4" in card
    assert "PeftModel.from_pretrained" in card
    assert "GenerationConfig.from_pretrained(FOLDER)" in card


def test_a_base_is_known_by_its_checksums_or_by_those_of_its_weights(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    one = hashlib.sha256(b"weights").hexdigest()
    both = hashlib.sha256(f"{one}  model.safetensors\n".encode()).hexdigest()
    assert identity(tmp_path) == f"`sha256sum *.safetensors | sha256sum` `{both}`"
    (tmp_path / "SHA256SUMS").write_text(f"{one}  model.safetensors\n")
    assert identity(tmp_path) == f"whose SHA256SUMS has the SHA-256 `{both}`"
