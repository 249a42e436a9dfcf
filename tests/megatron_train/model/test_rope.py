"""Frequencies of rotary positions are transformers', for each scaling and many numbers."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig
from conf.schema.rope import RopeConfig
from megatron_train.checkpoint import hf_rope
from megatron_train.model.rope import frequencies

MODEL = ModelConfig(hidden=120, heads=6, kv_heads=2, head_dim=36, rope_base=7_000.0, seq_length=90)
SCALINGS = [
    RopeConfig("linear", factor=3.5),
    RopeConfig("llama3", factor=6, original_length=40, low_freq_factor=1.5, high_freq_factor=2.5),
    RopeConfig("yarn", factor=4, original_length=64),
    RopeConfig("yarn", factor=9, original_length=32, beta_fast=7, beta_slow=0.5, truncate=False),
    # Both borders fall into one place.
    RopeConfig("yarn", factor=2, original_length=2, beta_fast=2, beta_slow=1.9),
    RopeConfig("yarn", factor=2, original_length=64, attention_factor=0.7),
    RopeConfig("dynamic", factor=2, original_length=90),
]


@pytest.mark.parametrize("rope", SCALINGS, ids=str)
def test_frequencies_and_amplitude_are_transformers(rope):
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    model = dataclasses.replace(MODEL, rope=rope)
    model.check()
    config = LlamaConfig(
        hidden_size=120, num_attention_heads=6, head_dim=36, max_position_embeddings=90,
        rope_parameters=hf_rope.write(model)["rope_parameters"],
    )  # fmt: skip
    theirs, amplitude = ROPE_INIT_FUNCTIONS[rope.scaling](config, "cpu")
    torch.testing.assert_close(frequencies(model), theirs, rtol=2e-6, atol=0)
    assert model.rope.amplitude == pytest.approx(amplitude)


@pytest.mark.parametrize(
    ("rope", "said"),
    [
        (RopeConfig("ntk", factor=2), "model.rope.scaling='ntk' is unknown"),
        (RopeConfig("linear", factor=0.5), "model.rope.factor=0.5 must be a number from 1 on"),
        (RopeConfig("linear", factor=float("inf")), "model.rope.factor=inf"),
        (RopeConfig(factor=2), "means nothing with model.rope.scaling=none"),
        (RopeConfig("yarn", factor=2), "model.rope.original_length=0 must be at least 1"),
        (RopeConfig("dynamic", factor=2, original_length=89), "model.seq_length=90"),
        (
            RopeConfig("llama3", factor=2, original_length=9, low_freq_factor=4),
            "low_freq_factor=4 must be above 0 and below",
        ),
        (RopeConfig("yarn", 2, 9, beta_slow=40), "beta_slow=40 must be above 0"),
        (RopeConfig("yarn", 2, 9, attention_factor=-1), "attention_factor=-1 must be at least 0"),
    ],
    ids=str,
)
def test_numbers_that_mean_nothing_are_refused(rope, said):
    with pytest.raises(SeedbedError, match=said):
        dataclasses.replace(MODEL, rope=rope).check()
