"""Adapters: alone or cut, merged or apart, they compute the same, and nothing else learns."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.rl import DpoConfig, GrpoConfig, SftConfig
from megatron_train.checkpoint import peft
from tests.megatron_train.model.lora_worker import LORA, batch
from tests.tiny_model import write_model

ROOT = Path(__file__).parents[3]
MODULE = "tests.megatron_train.model.lora_worker"


def run(out: Path, folder: Path, layout: dict, checkpoints: Path | None = None) -> dict:
    out.mkdir()
    ranks = layout.get("tp", 1) * layout.get("pp", 1) * layout.pop("dp", 1)
    launch = [sys.executable, "-m"]
    if ranks > 1:
        launch += ["torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "-m"]
    told = subprocess.run(
        [*launch, MODULE, str(out), str(folder), json.dumps(layout), str(checkpoints or "")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr[-4000:]
    return json.loads((out / "seen.json").read_text())


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    # The output layer is apart in one test and tied in the other.
    return write_model(tmp_path_factory.mktemp("base") / "hf", tied=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, base) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("lora") / "alone"
    return out, run(out, base, {})


def logprobs(model: torch.nn.Module) -> torch.Tensor:
    one = batch()
    with torch.no_grad():
        found = (model(one["tokens"]).logits.float() / 0.8).log_softmax(-1)
    return found.gather(-1, one["labels"][..., None])[..., 0]


def test_a_new_adapter_changes_nothing_and_a_stirred_one_does(alone, base):
    _, seen = alone
    plain = logprobs(AutoModelForCausalLM.from_pretrained(base))
    torch.testing.assert_close(torch.tensor(seen["plain"]), plain, atol=1e-5, rtol=1e-5)
    assert (torch.tensor(seen["adapted"]) - plain).abs().max() > 0.1


def test_the_merged_export_computes_what_the_adapters_do(alone):
    out, seen = alone
    merged = logprobs(AutoModelForCausalLM.from_pretrained(out / "hf"))
    torch.testing.assert_close(torch.tensor(seen["adapted"]), merged, atol=1e-5, rtol=1e-5)


def test_the_adapter_folder_is_pefts_and_adds_up_to_the_same(alone, base):
    out, seen = alone
    config = json.loads((out / "adapter/adapter_config.json").read_text())
    matrices = load_file(out / "adapter/adapter_model.safetensors")
    assert (config["r"], config["lora_alpha"], config["peft_type"]) == (3, 7.5, "LORA")
    model = AutoModelForCausalLM.from_pretrained(base)
    # By hand what PEFT does: W + alpha / r B A on every target.
    targets = {
        name: module
        for name, module in model.named_modules()
        if name.rsplit(".", 1)[-1] in config["target_modules"]
    }
    assert len(matrices) == 2 * len(targets) == 2 * 2 * 7
    for name, module in targets.items():
        a, b = (matrices[f"base_model.model.{name}.lora_{x}.weight"] for x in "AB")
        module.weight.data += config["lora_alpha"] / config["r"] * b @ a
    ours = torch.tensor(seen["adapted"])
    torch.testing.assert_close(ours, logprobs(model), atol=1e-5, rtol=1e-5)


def test_the_adapter_folder_can_be_pushed_as_it_is(alone, base):
    out, _ = alone
    names = {path.name for path in (out / "adapter").iterdir()}
    assert names == {
        *("adapter_config.json", "adapter_model.safetensors", "generation_config.json"),
        *("tokenizer.json", "tokenizer_config.json", "README.md", "SHA256SUMS"),
    }
    generation = json.loads((out / "adapter/generation_config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(out / "adapter")
    assert tokenizer.chat_template
    ends = [tokenizer.convert_tokens_to_ids(one) for one in ("<|end|>", "<|endoftext|>")]
    assert generation["eos_token_id"] == ends
    listed = dict(
        line.split("  ")[::-1] for line in (out / "adapter/SHA256SUMS").read_text().splitlines()
    )
    assert listed.keys() == names - {"SHA256SUMS"}
    for name, value in listed.items():
        assert hashlib.sha256((out / "adapter" / name).read_bytes()).hexdigest() == value


def test_a_base_out_of_the_hubs_cache_is_called_by_its_name_there(base):
    cached = Path("/cache/hub/models--some--model-1.5B/snapshots/abc")
    assert peft.hub_name(cached) == "some/model-1.5B"
    assert peft.hub_name(base) == ""


def test_nothing_but_adapters_learns_and_a_checkpoint_brings_them_back(alone):
    _, seen = alone
    assert seen["own"] == seen["own afterwards"]
    # A and B of four layers in each of two blocks.
    assert seen["learning"] == 2 * 4 * 2
    losses = [loss for loss, _ in seen["steps"]]
    assert losses[0] > losses[1] > losses[2]
    assert seen["loaded"] == seen["adapters"]
    assert seen["next"][0] == seen["next"][1]
    assert seen["moved"][0] == seen["moved"][1] != seen["loaded"]
    assert "'rank': 3" in seen["other rank"]
    assert "'rank': 4" in seen["other rank"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout",
    [
        {"tp": 2},
        {"tp": 2, "sequence_parallel": True, "recompute": "full"},
        {"pp": 2},
        {"dp": 2, "distributed_optimizer": True},
    ],
    ids=lambda layout: " ".join(layout),
)
def test_other_layouts_compute_learn_and_export_the_same(alone, base, tmp_path, layout):
    out, seen = alone
    distributed = layout.get("distributed_optimizer", False)
    cut = run(tmp_path / "cut", base, dict(layout))
    for name in ("plain", "adapted"):
        ours, theirs = torch.tensor(cut[name]), torch.tensor(seen[name])
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(cut["steps"], seen["steps"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert cut["adapters"] == pytest.approx(seen["adapters"], rel=1e-4)
    assert cut["own"] == cut["own afterwards"]
    assert cut["loaded"] == cut["adapters"]
    assert cut["next"][0] == pytest.approx(cut["next"][1], rel=1e-5)
    for file in ("hf/model.safetensors", "adapter/adapter_model.safetensors"):
        ours, theirs = load_file(tmp_path / "cut" / file), load_file(out / file)
        assert ours.keys() == theirs.keys()
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], atol=1e-6, rtol=1e-5)
    if not distributed:
        # A checkpoint of this layout goes on in one process.
        one = run(tmp_path / "one", base, {}, tmp_path / "cut/checkpoints")
        assert one["loaded"] == pytest.approx(cut["adapters"], rel=1e-9)
        assert one["own"] == pytest.approx(cut["own"], rel=1e-9)


def test_every_program_refuses_settings_that_make_no_sense():
    for schema in (SftConfig, DpoConfig, GrpoConfig):
        with pytest.raises(SeedbedError, match=r"lora.layers=\['qkv'\] must name some of"):
            load(schema, None, ["lora.rank=4", "lora.layers=[qkv]"])
        with pytest.raises(SeedbedError, match=r"lora.alpha=0.0 must be above 0"):
            load(schema, None, ["lora.rank=4", "lora.alpha=0"])
    assert LORA.rank != LORA.alpha
