"""config.json: what is read, what it leaves out, and what is refused by name."""

from __future__ import annotations

import json

import pytest

from conf.errors import SeedbedError
from conf.schema.experts import ExpertsConfig
from megatron_train.checkpoint.hf_config import model_config, to_config
from megatron_train.checkpoint.hf_families import HF_FAMILIES
from tests.megatron_train.families import folders

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


def read(folder, seq_length=None, **more):
    config = {**LLAMA, **more}
    (folder / "config.json").write_text(json.dumps(config))
    return model_config(folder, seq_length)


@pytest.mark.parametrize(
    ("more", "base"),
    [
        # transformers' LlamaConfig: rope_theta defaults to 10000.0.
        ({}, 10_000),
        ({"rope_theta": 250_000.0}, 250_000),
        # StarCoder2 3B's, which is no whole number.
        ({"rope_theta": 999999.4420358813}, 999999.4420358813),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 40_000.0}}, 40_000),
    ],
)
def test_the_base_of_rotary_embeddings_is_the_configs_or_llamas(tmp_path, more, base):
    assert read(tmp_path, **more)[0].rope_base == base


def test_what_a_config_leaves_out_is_as_transformers_has_it(tmp_path):
    model, vocab = read(tmp_path)
    assert vocab == 777
    # Without num_key_value_heads every head has keys of its own.
    assert (model.heads, model.kv_heads) == (6, 6)
    assert (model.tie_embeddings, model.init_std) == (False, 0.02)
    assert (model.norm_eps, model.seq_length) == (3e-6, 512)
    assert read(tmp_path, 64)[0].seq_length == 64


@pytest.mark.parametrize("name", HF_FAMILIES)
def test_the_defaults_are_those_of_transformers_own_classes(name):
    import transformers

    family = HF_FAMILIES[name]
    made = getattr(transformers, family.architecture.replace("ForCausalLM", "Config"))()
    common = {"rms_norm_eps": 1e-6, "initializer_range": 0.02, "tie_word_embeddings": False}
    if family.norm_eps != "rms_norm_eps":
        del common["rms_norm_eps"]
    for key, value in {**common, **family.defaults}.items():
        if key == "rope_theta":
            named = made.rope_parameters
            assert named.get("full_attention", named)[key] == value
        # Its constructor has worked these out from the others.
        elif key not in ("layer_types", "no_rope_layers", "sliding_window"):
            assert getattr(made, key) == value, key


@pytest.mark.parametrize(
    ("scaling", "wanted"),
    [
        # DeepSeek-Coder's form.
        ({"type": "linear", "factor": 4.0}, {"scaling": "linear", "factor": 4.0}),
        (
            {"rope_type": "dynamic", "factor": 2.5},
            {"scaling": "dynamic", "factor": 2.5, "original_length": 512},
        ),
        (
            {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.5, "high_freq_factor": 3.0},
            {"scaling": "llama3", "low_freq_factor": 1.5, "high_freq_factor": 3.0,
             "original_length": 512},
        ),
        (
            {"type": "yarn", "factor": 3.0, "original_max_position_embeddings": 128,
             "beta_fast": 16, "attention_factor": 0.9},
            {"scaling": "yarn", "original_length": 128, "beta_fast": 16, "attention_factor": 0.9},
        ),
    ],
)  # fmt: skip
def test_every_scaling_of_positions_is_read_in_both_forms(tmp_path, scaling, wanted):
    legacy = read(tmp_path, rope_scaling=scaling, rope_theta=70_000.0)[0]
    named = {"rope_type": scaling.get("type", "default"), **scaling, "rope_theta": 70_000.0}
    assert read(tmp_path, rope_parameters=named)[0] == legacy
    assert legacy.rope_base == 70_000
    assert {key: getattr(legacy.rope, key) for key in wanted} == wanted


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, r"\['GPT2LMHeadModel'\] is not supported"),
        ({"text_config": {"hidden_size": 4}}, "has a text_config"),
        ({"model_type": "qwen2"}, "model_type=qwen2 do not belong together"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantization_config=fp8"),
        ({"num_experts": 8}, "num_experts=8 is no known key of a LlamaForCausalLM"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping=50.0 is no known key"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "auto_map"),
        ({"attention_bias": True}, "attention_bias=true is not supported"),
        ({"hidden_act": "gelu"}, "hidden_act=gelu is not supported"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5"),
        ({"rope_scaling": {"type": "longrope", "factor": 2}}, "by 'longrope'"),
        ({"rope_scaling": {"type": "linear", "rope_type": "yarn"}}, "'yarn' and 'linear'"),
        ({"rope_scaling": {"type": "linear", "factor": 2, "alpha": 3}}, "alpha=3"),
        ({"rope_scaling": {"type": "linear", "factor": float("nan")}}, "factor=nan"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps=nan must be a number"),
        ({"rms_norm_eps": "1e-5"}, "rms_norm_eps=1e-5 must be a number"),
        ({"rope_theta": float("inf")}, "rope_theta=inf"),
        ({"hidden_size": None}, "hidden_size=None must be a whole number"),
        ({"num_hidden_layers": 2.0}, "num_hidden_layers=2.0 must be a whole number"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers=1000000000 is above"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings=no must be true or false"),
        ({"num_attention_heads": 5}, "must divide by model.heads"),
        ({"head_dim": 15}, "model.head_dim = 15"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_not_known_or_makes_no_sense_is_refused_by_name(tmp_path, more, said):
    with pytest.raises(SeedbedError, match=said) as refused:
        read(tmp_path, **more)
    assert str(tmp_path) in refused.value.problem


QWEN3_MOE = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "moe_intermediate_size": 40,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 3,
}


def test_experts_have_two_names_for_their_number_and_a_width_of_their_own(tmp_path):
    model, _ = read(tmp_path, **QWEN3_MOE, num_experts=6)
    assert (model.family, model.ffn) == ("qwen3_moe", 40)
    # transformers' Qwen3MoeConfig: norm_topk_prob is false, router_aux_loss_coef 0.001.
    assert model.experts == ExpertsConfig(number=6, top_k=3, normalize=False, aux_loss=0.001)
    assert read(tmp_path, **QWEN3_MOE, num_local_experts=6)[0] == model
    normal = read(tmp_path, **QWEN3_MOE, num_experts=6, norm_topk_prob=True)[0]
    assert normal.experts.normalize


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"num_experts": 6, "num_local_experts": 8}, "are one number by two names"),
        ({"num_experts": 2}, "top_k=3 is above model.experts.number=2"),
        ({"num_experts": 6.0}, "num_local_experts=6.0 must be a whole number"),
        ({"norm_topk_prob": 1}, "norm_topk_prob=1 must be true or false"),
        ({"router_aux_loss_coef": -1}, "router_aux_loss_coef=-1 must be a number"),
        ({"decoder_sparse_step": 2}, "decoder_sparse_step=2 is not supported"),
        ({"mlp_only_layers": [0]}, r"mlp_only_layers=\[0\] is not supported"),
        ({"use_sliding_window": True}, "use_sliding_window=true is not supported"),
        ({"shared_expert_intermediate_size": 8}, "shared_expert_intermediate_size=8 is no known"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_experts_that_are_not_known_here_are_refused_by_name(tmp_path, more, said):
    with pytest.raises(SeedbedError, match=said):
        read(tmp_path, **{**QWEN3_MOE, **more})


def test_what_changes_nothing_is_passed_over(tmp_path):
    more = {"use_cache": True, "torch_dtype": "float16", "attention_dropout": 0.1, "fresh": None}
    assert read(tmp_path, **more) == read(tmp_path)


@pytest.mark.parametrize("name", folders.CASES)
def test_a_written_config_is_read_as_the_model_that_was_written(tmp_path, name):
    folders.write(tmp_path / "theirs", name)
    model, vocab_size = model_config(tmp_path / "theirs")
    config = to_config(model, vocab_size, "fp32")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert model_config(tmp_path) == (model, vocab_size)


@pytest.mark.parametrize(
    ("name", "more", "pattern", "window"),
    [
        ("mistral", {"sliding_window": None}, "f", 0),
        ("mistral", {"sliding_window": 21}, "w", 21),
        ("qwen2", {"sliding_window": 9}, "f", 0),
        ("qwen2-window", {}, "fffw", 11),
        ("smollm3", {"no_rope_layers": [1, 0, 0, 1]}, "fnnf", 0),
        ("starcoder2", {}, "w", 17),
        ("olmo3", {}, "wwwf", 15),
        ("olmo3-plain", {}, "fw", 21),
        ("olmo3", {"layer_types": ["full_attention"] * 4, "sliding_window": None}, "f", 0),
    ],
)
def test_layers_with_windows_and_without_positions_are_named_by_letters(
    tmp_path, name, more, pattern, window
):
    folders.write(tmp_path, name, **more)
    model = model_config(tmp_path)[0]
    assert (model.layer_pattern, model.window) == (pattern, window)


_SCALED = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 48}
_PLAIN = {"rope_type": "default", "rope_theta": 7e3}


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"full_attention": _PLAIN, "sliding_attention": _SCALED}, "are not scaled"),
        ({"full_attention": {**_SCALED, "rope_theta": 9e3}, "sliding_attention": _PLAIN}, "base"),
        ({"full_attention": _PLAIN, "chunked_attention": _PLAIN}, "chunked_attention"),
    ],
)
def test_positions_by_kind_of_layer_are_those_of_olmo_3_or_refused(tmp_path, named, said):
    folders.write(tmp_path, "olmo3")
    # As the hub has it, and as transformers 5 writes it.
    folders.edit(tmp_path, rope_parameters=None, rope_scaling=_SCALED, rope_theta=7e3)
    older = model_config(tmp_path)[0]
    assert (older.rope.scaling, older.rope.factor, older.rope_base) == ("yarn", 2.0, 7e3)
    both = {"full_attention": {**_SCALED, "rope_theta": 7e3}, "sliding_attention": _PLAIN}
    folders.edit(tmp_path, rope_parameters=both, rope_scaling=None, rope_theta=None)
    assert model_config(tmp_path)[0] == older
    folders.edit(tmp_path, rope_parameters=named)
    with pytest.raises(SeedbedError, match=said):
        model_config(tmp_path)


def test_layers_that_slide_need_a_window(tmp_path):
    folders.write(tmp_path, "olmo3")
    config = json.loads((tmp_path / "config.json").read_text()) | {"sliding_window": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SeedbedError, match="sliding_window=None"):
        model_config(tmp_path)


def test_layers_are_named_one_by_one(tmp_path):
    folders.write(tmp_path, "qwen2-window")
    folders.edit(tmp_path, layer_types=["full_attention", "chunked_attention"] * 2)
    with pytest.raises(SeedbedError, match="chunked_attention"):
        model_config(tmp_path)
