"""The tensors of a whole model, and their number by arithmetic."""

from __future__ import annotations

import dataclasses
import math

import pytest

from conf.schema.experts import ExpertsConfig
from conf.schema.families import FAMILIES
from conf.schema.layout import ModelConfig, ParallelConfig
from megatron_train.model.shapes import tensor_shapes
from megatron_train.parallel.costs import stage_parameters

MODEL = ModelConfig(layers=6, hidden=50, ffn=72, heads=6, kv_heads=2, head_dim=14)


def of(family: str, **settings: object) -> ModelConfig:
    experts = ExpertsConfig(number=6 if FAMILIES[family].experts else 0)
    return dataclasses.replace(MODEL, family=family, experts=experts, **settings)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [True, False])
def test_weights_are_counted_as_the_tensors_hold_them(family, tied):
    model = of(family, tie_embeddings=tied)
    counted = sum(math.prod(shape) for _, shape in tensor_shapes(model, 131))
    assert counted == model.parameters(131)
    assert counted == stage_parameters(model, ParallelConfig(), 131, 0)


@pytest.mark.parametrize(
    ("family", "cut", "whole"),
    [
        # By hand: query 84, key 28. llama: 50 * (2 * 84 + 2 * 28 + 3 * 72); two norms of 50.
        ("llama", 22_000, 100),
        ("qwen2", 22_000 + 84 + 56, 100),
        ("qwen3", 22_000, 100 + 2 * 14),
        # 50 * (2 * 84 + 2 * 28 + 2 * 72); biases of 140 and 72, of 50 and 50; norms with biases.
        ("starcoder2", 18_400 + 140 + 72, 200 + 100),
        ("olmo2", 22_000 + 84 + 28, 100),
        # 50 * (2 * 84 + 2 * 28); a router of 6 * 50.
        ("mixtral", 11_200, 100 + 300),
        ("qwen3_moe", 11_200, 100 + 300 + 2 * 14),
    ],
)
def test_what_tensor_parallelism_cuts_of_a_layer_is_counted_apart(family, cut, whole):
    model = of(family)
    assert model.layer_parameters() == (cut, whole)
    last = stage_parameters(model, ParallelConfig(tp=2, pp=2), 128, 1)
    end = 100 if family == "starcoder2" else 50
    # Six experts of 3 * 50 * 72, none of which is cut.
    experts = 6 * 10_800 if FAMILIES[family].experts else 0
    assert last == 3 * (cut // 2 + whole + experts) + end + 64 * 50


def test_experts_are_spread_and_only_those_that_a_token_takes_are_active():
    model = of("mixtral")
    half = stage_parameters(model, ParallelConfig(ep=2), 131, 0)
    assert model.parameters(131) - half == 6 * 3 * 10_800
    assert model.parameters(131) - model.parameters(131, active=True) == 6 * 4 * 10_800
