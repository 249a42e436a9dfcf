"""Muon: which weights it moves, one step by hand, and the same losses in every layout."""

from __future__ import annotations

import pytest
import torch

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.layout import ModelConfig
from conf.schema.pretrain import MuonConfig, PretrainConfig
from megatron_train.model import weights
from megatron_train.model.shapes import tensor_shapes
from megatron_train.training import muon
from megatron_train.training.muon import MuonWithAdamW, is_matrix, newton_schulz, parts_of

MODEL = ModelConfig(layers=1, hidden=8, ffn=6, heads=4, kv_heads=2)


def test_the_four_matrices_of_a_layer_are_moved_by_muon_and_nothing_else():
    for family in ("llama", "starcoder2", "qwen3", "olmo2"):
        names = [name for name, _ in tensor_shapes(ModelConfig(family=family, layers=2), 384)]
        assert [name for name in names if is_matrix(name)] == [
            f"decoder.layers.{layer}.{matrix}.weight"
            for layer in range(2)
            for matrix in (
                "self_attention.linear_qkv",
                "self_attention.linear_proj",
                "mlp.linear_fc1",
                "mlp.linear_fc2",
            )
        ]


def test_query_key_and_value_are_three_matrices_and_gate_and_up_are_two():
    # Each of two groups has two query heads, a key and a value, of two rows each.
    rows = torch.arange(16.0)[:, None].expand(16, 8)
    query, key, value = parts_of("decoder.layers.0.self_attention.linear_qkv.weight", rows, MODEL)
    assert query[:, :, 0].flatten().tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert key[:, :, 0].flatten().tolist() == [4, 5, 12, 13]
    assert value[:, :, 0].flatten().tolist() == [6, 7, 14, 15]
    rows = torch.arange(12.0)[:, None].expand(12, 8)
    gate, up = parts_of("decoder.layers.0.mlp.linear_fc1.weight", rows, MODEL)
    assert (gate[:, 0].tolist(), up[:, 0].tolist()) == ([*range(6)], [*range(6, 12)])
    plain = ModelConfig(family="starcoder2", layers=1, hidden=8, ffn=12, heads=4, kv_heads=2)
    assert len(parts_of("decoder.layers.0.mlp.linear_fc1.weight", rows, plain)) == 1


def by_hand(value: float, norm: float, steps: int = 5) -> float:
    """What the iteration makes of one singular value."""
    x = value / norm
    for _ in range(steps):
        x = 3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5
    return x


def test_the_iteration_brings_singular_values_near_1_and_keeps_the_directions():
    diagonal = torch.zeros(2, 3)
    diagonal[0, 0], diagonal[1, 1] = 3.0, 1.0
    found = newton_schulz(diagonal, 5)
    norm = 10**0.5
    assert found[0, 0].item() == pytest.approx(by_hand(3.0, norm), rel=1e-4)
    assert found[1, 1].item() == pytest.approx(by_hand(1.0, norm), rel=1e-4)
    assert found[0, 1:].abs().max() == 0
    torch.testing.assert_close(newton_schulz(diagonal.T, 5), found.T)
    drawn = torch.randn(16, 40, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(newton_schulz(drawn, 5))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_two_steps_by_hand(monkeypatch):
    monkeypatch.setattr(weights, "_is_cut", lambda parameter: False)
    weight = torch.nn.Parameter(torch.eye(2, 3))
    norm = torch.nn.Parameter(torch.ones(3))
    groups = [
        {"params": [weight], "lr": 0.1, "weight_decay": 0.5, "betas": (0.9, 0.95), "eps": 1e-8},
        {"params": [norm], "lr": 0.1, "weight_decay": 0.0, "betas": (0.9, 0.95), "eps": 1e-8},
    ]
    names = {weight: ("decoder.layers.0.mlp.linear_fc2.weight", weight)}
    optimizer = MuonWithAdamW(groups, names, MODEL, MuonConfig())
    gradients = (torch.zeros(2, 3), torch.zeros(2, 3))
    gradients[0][0, 0], gradients[0][1, 1] = 3.0, 1.0
    gradients[1][0, 0], gradients[1][1, 1] = 1.0, 1.0
    value = [1.0, 1.0]
    # What Newton-Schulz is asked for: G + 0.95 M, with M = G, then M = 0.95 * (3, 1) + (1, 1).
    asked = [(3 * 1.95, 1.95), (1 + 0.95 * 3.85, 1 + 0.95 * 1.95)]
    for gradient, pair in zip(gradients, asked, strict=True):
        weight.grad, norm.grad = gradient, torch.tensor([0.5, -2.0, 0.0])
        optimizer.step()
        size = (pair[0] ** 2 + pair[1] ** 2) ** 0.5
        value = [
            v * (1 - 0.1 * 0.5) - 0.1 * 0.2 * 3**0.5 * by_hand(p, size)
            for v, p in zip(value, pair, strict=True)
        ]
        assert torch.diagonal(weight).tolist() == pytest.approx(value, rel=1e-5)
    # Adam's first steps have the size of the rate where the gradient stays.
    assert norm.tolist() == pytest.approx([0.8, 1.2, 1.0], abs=1e-5)
    assert set(optimizer.state[weight]) == {"step", "momentum"}
    assert set(optimizer.state[norm]) == {"step", "exp_avg", "exp_avg_sq"}


def test_what_muon_cannot_do_is_refused():
    with pytest.raises(SeedbedError, match="needs whole matrices"):
        load(PretrainConfig, None, ["optim.name=muon", "parallel.distributed_optimizer=true"])
    with pytest.raises(SeedbedError, match="'lion' is unknown"):
        load(PretrainConfig, None, ["optim.name=lion"])


def test_a_weight_without_a_rule_is_refused(monkeypatch):
    expert = "decoder.layers.0.mlp.experts.local_experts.0.linear_fc1.weight"
    found = {expert: torch.nn.Parameter(torch.ones(2, 2))}
    monkeypatch.setattr(weights, "local_parameters", lambda chunks: found)
    with pytest.raises(SeedbedError, match=r"no rule for the weight .*experts"):
        muon.install(None, [], MODEL, MuonConfig())


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_resumed_run_is_the_undisturbed_one_to_the_bit(run_steps, tmp_path, dtype):
    whole = run_steps(1, optim="muon", steps=5, dtype=dtype)
    run_steps(1, optim="muon", steps=3, dtype=dtype, save=str(tmp_path))
    resumed = run_steps(1, optim="muon", steps=2, dtype=dtype, load=str(tmp_path))
    assert resumed["losses"] == whole["losses"][3:]


@pytest.mark.slow
def test_layouts_train_as_one_process(run_steps, tmp_path):
    alone = run_steps(1, optim="muon", steps=5)["losses"]
    assert alone[-1] < alone[0]
    for layout in ({"tp": 2, "sp": True}, {}, {"pp": 2}):
        found = run_steps(2, optim="muon", steps=5, **layout)["losses"]
        assert found == pytest.approx(alone, abs=1e-6), layout
