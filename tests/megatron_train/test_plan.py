"""The plan's arithmetic against real allocations, published speeds, and imagined ranks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.layout import BatchConfig, ModelConfig, ParallelConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train import plan
from megatron_train.parallel import costs, speed
from megatron_train.parallel.costs import Workload
from tests.megatron_train import tiny

LLAMA_3_8B = ModelConfig(layers=32, hidden=4096, ffn=14336, heads=32, kv_heads=8, seq_length=8192)
LLAMA_VOCAB = 128_256
SMALL = {"layers": 3, "hidden": 64, "ffn": 160, "heads": 4, "kv_heads": 2, "seq_length": 128}
NORMED = SMALL | {"family": "qwen3"}
WIDE = {
    "layers": 2,
    "hidden": 96,
    "ffn": 256,
    "heads": 6,
    "kv_heads": 6,
    "seq_length": 64,
    "tie_embeddings": True,
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    cases = [
        {"model": model, "dtype": dtype, "recompute": recompute, "micro": 2, "optim": optim}
        for model, dtype, recompute, optim in (
            (SMALL, "fp32", "none", "adamw"),
            (SMALL, "bf16", "none", "muon"),
            (SMALL, "bf16", "none", "adamw"),
            (SMALL, "fp32", "full", "adamw"),
            (SMALL, "fp32", "selective", "adamw"),
            (NORMED, "fp32", "none", "adamw"),
            (NORMED, "fp32", "selective", "adamw"),
            (WIDE, "fp32", "none", "adamw"),
        )
    ]
    out = tmp_path_factory.mktemp("memory") / "seen.json"
    tiny.launch(1, str(Path(__file__).with_name("memory_worker.py")), str(out), json.dumps(cases))
    return json.loads(out.read_text())


def test_planned_memory_is_what_small_models_take(measured):
    for one in measured:
        planned, real = one["planned"], one["measured"]
        assert planned["weights"] == real["weights"]
        # Buffers are padded.
        assert planned["gradients"] == pytest.approx(real["gradients"], rel=0.01)
        assert planned["optimizer"] == pytest.approx(real["optimizer"], rel=0.01)
        assert planned["activations"] == pytest.approx(real["activations"], rel=0.03), one


def test_published_speeds_are_met_as_docs_training_says():
    """NVIDIA's row served to fit the FP8 efficiency; torchtitan's tests the upper bound."""
    h100 = speed.GPUS["h100"]
    nemo = ParallelConfig(cp=2, distributed_optimizer=True, overlap=True)
    titan = ParallelConfig(distributed_optimizer=True, overlap=True, recompute="selective")
    fitted = Workload(LLAMA_3_8B, nemo, BatchConfig(1, 128), 8, LLAMA_VOCAB, fp8=True)
    other = Workload(LLAMA_3_8B, titan, BatchConfig(2, 16), 8, LLAMA_VOCAB, fp8=True)
    a, b = speed.speed(fitted, h100), speed.speed(other, h100)
    assert a.tokens_per_gpu == pytest.approx(14_451, rel=0.05)
    assert 1.5 < b.tokens_per_gpu / 8_532 < 1.7
    assert sum(a.parts.values()) == pytest.approx(a.step_seconds)


@pytest.mark.slow
def test_a_thousand_ranks_are_each_a_part_of_the_model():
    """It pretends to be ranks of a job that does not exist, so it has a process of its own."""
    code = """
import sys
from megatron_train import plan
layout = ["parallel.tp=4", "parallel.pp=4", "parallel.vpp=2", "parallel.cp=2"]
for rank in (0, 511, 1023):
    plan.main(["--config", "conf/pretrain/seed_coder_8b.yaml", "--gpus", "1024", "vocab=155136",
               "--rank", str(rank), *layout, "batch.total=1024"])
"""
    said = tiny.launch(1, "-c", code)
    # Of neighbours the next is of the same tensor-parallel group, then context, data, pipeline.
    places = {0: (0, 0, 0, 0), 511: (3, 1, 1, 31), 1023: (3, 3, 1, 31)}
    model = load(PretrainConfig, "conf/pretrain/seed_coder_8b.yaml").model
    layout = ParallelConfig(4, 4, 2, 2)
    for rank, (tp, pp, cp, dp) in places.items():
        count = costs.stage_parameters(model, layout, 155136, pp)
        place = f"tp {tp}, pp {pp}, cp {cp}, ep 0, dp {dp}"
        assert f"process {rank} ({place}) builds: 2 chunks, {count:,} weights" in said


def test_every_form_of_a_layer_is_built_with_as_many_weights_as_are_planned():
    """In the stages that hold the embedding and the output layer; the command itself compares."""
    code = """
from megatron_train import plan
for family in ("llama", "qwen2", "qwen3", "starcoder2", "olmo2"):
    for rank in (0, 3):
        plan.main(["--gpus", "4", "vocab=300", "--rank", str(rank), "parallel.tp=2",
                   "parallel.pp=2", "model.kv_heads=2", "model.head_dim=36",
                   f"model.family={family}"])
"""
    assert tiny.launch(1, "-c", code).count("weights, as computed") == 10


def test_bubble_and_traffic_follow_their_formulas():
    assert costs.bubble(ParallelConfig(pp=4), 8) == pytest.approx(3 / 11)
    assert costs.bubble(ParallelConfig(pp=4, vpp=2), 8) == pytest.approx(3 / 19)
    assert costs.bubble(ParallelConfig(), 8) == 0
    model = ModelConfig(layers=2, hidden=8, ffn=16, heads=2, kv_heads=1, seq_length=10)
    alone = costs.traffic(Workload(model, ParallelConfig(), BatchConfig(1, 1), 1, 128))
    assert (alone.tensor, alone.pipeline, alone.context, alone.data) == (0, 0, 0, 0)
    two = costs.traffic(Workload(model, ParallelConfig(tp=2), BatchConfig(1, 1), 2, 128))
    # Layers, all-reduces, both ways of a ring, bytes, and (tp - 1) / tp.
    assert two.tensor == 2 * 4 * 2 * (10 * 8 * 2) / 2


@pytest.mark.parametrize(
    ("gpus", "layout", "cut"),
    [
        (8, ParallelConfig(cp=2, distributed_optimizer=True), 8),
        (8, ParallelConfig(tp=2, cp=2, distributed_optimizer=True), 4),
        (6, ParallelConfig(distributed_optimizer=True), 6),
        (8, ParallelConfig(cp=2), 1),
    ],
)
def test_adams_state_is_cut_over_data_and_context_parallel_processes(gpus, layout, cut):
    """By hand: under bf16 two moments and a master weight of 4 bytes each for a parameter."""
    work = Workload(ModelConfig(**SMALL), layout, BatchConfig(1, 24), gpus, 128)
    planned = costs.memory(work, 0)
    parameters = planned.weights / 2
    assert planned.gradients == 4 * parameters
    assert planned.optimizer == pytest.approx(12 * parameters / cut)


def test_suggested_layouts_fit_and_divide():
    cfg = load(PretrainConfig, "conf/pretrain/seed_coder_8b.yaml", [])
    said = plan.suggestions(cfg, 512, 155_136, speed.GPUS["h100"]).splitlines()
    assert len(said) == plan.SUGGESTIONS + 2
    speeds = [float(line.split()[0].replace(",", "")) for line in said[2:]]
    assert speeds == sorted(speeds, reverse=True)
    assert "no layout fits" in plan.suggestions(cfg, 1, 155_136, speed.GPUS["a100"])


def test_a_plan_without_a_vocabulary_or_with_a_wrong_number_of_gpus_says_what_to_type(tmp_path):
    with pytest.raises(SeedbedError, match="the vocabulary is unknown"):
        plan.main(["--gpus", "8", f"output={tmp_path}", "batch.total=32"])
    with pytest.raises(SeedbedError, match=r"tp \* pp \* cp = 2 \* 2 \* 1 = 4: 6 % 4 = 2"):
        plan.main(["--gpus", "6", "--vocab", "500", "--config", "conf/pretrain/demo.yaml"])
