"""Settings of a model that a Hugging Face folder's config.json gives, and those it leaves out."""

from __future__ import annotations

import json

import pytest

from megatron_train.checkpoint.hf import model_config

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 3,
    "hidden_size": 96,
    "intermediate_size": 250,
    "num_attention_heads": 6,
    "max_position_embeddings": 512,
    "rms_norm_eps": 3e-6,
    "vocab_size": 777,
}


@pytest.mark.parametrize(
    ("more", "base"),
    [
        # transformers' LlamaConfig: rope_theta defaults to 10000.0.
        ({}, 10_000),
        ({"rope_theta": 250_000.0}, 250_000),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 40_000.0}}, 40_000),
    ],
)
def test_the_base_of_rotary_embeddings_is_the_configs_or_llamas(tmp_path, more, base):
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, **more}))
    assert model_config(tmp_path)[0].rope_base == base


def test_what_a_config_leaves_out_is_as_transformers_has_it(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    model, vocab = model_config(tmp_path)
    assert vocab == 777
    # Without num_key_value_heads every head has keys of its own.
    assert (model.heads, model.kv_heads) == (6, 6)
    assert (model.tie_embeddings, model.init_std) == (False, 0.02)
    assert (model.norm_eps, model.seq_length) == (3e-6, 512)
    assert model_config(tmp_path, 64)[0].seq_length == 64
