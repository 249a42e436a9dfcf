"""config.json of a Hugging Face folder <-> our model settings.

Every key is known and used, known and harmless, or refused by name.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from conf.schema.experts import ExpertsConfig
from conf.schema.families import FAMILIES
from conf.schema.layout import ModelConfig
from megatron_train.checkpoint import hf_rope
from megatron_train.checkpoint.hf_families import HF_FAMILIES, Config, HfFamily
from seedbed import json_object
from seedbed.dtypes import torch_dtype

_EXPORT = "give a folder that transformers' save_pretrained or our export wrote"
_REQUIRED = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "vocab_size",
)
# No model has as many; a damaged number would fill the memory.
_MOST_LAYERS = 10_000
_DEFAULTS = {
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "initializer_range": 0.02,
    "rope_theta": 10_000.0,
}
_ROPE = (
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "partial_rotary_factor",
    "original_max_position_embeddings",
)
# Keys that change nothing that is computed here, and why.
_ABOUT_FILES = "about the files, which say it themselves"
_ABOUT_TOKENS = "checked with the tokenizer (hf_tokenizer.py)"
_ABOUT_USE = "about generation or what a call returns"
_DROPOUT = "training here is without dropout"
HARMLESS = {
    "dtype": _ABOUT_FILES,
    "torch_dtype": _ABOUT_FILES,
    "transformers_version": _ABOUT_FILES,
    "_name_or_path": _ABOUT_FILES,
    "name_or_path": _ABOUT_FILES,
    "transformers.js_config": "for browsers",
    "model_type": "compared with architectures",
    "bos_token_id": _ABOUT_TOKENS,
    "eos_token_id": _ABOUT_TOKENS,
    "pad_token_id": _ABOUT_TOKENS,
    "unk_token_id": _ABOUT_TOKENS,
    "decoder_start_token_id": _ABOUT_USE,
    "use_cache": _ABOUT_USE,
    "return_dict": _ABOUT_USE,
    "output_attentions": _ABOUT_USE,
    "output_hidden_states": _ABOUT_USE,
    "_attn_implementation": _ABOUT_USE,
    "_attn_implementation_autoset": _ABOUT_USE,
    "attn_implementation": _ABOUT_USE,
    "torchscript": _ABOUT_USE,
    "chunk_size_feed_forward": "the same sums in parts",
    "id2label": "for classifiers",
    "label2id": "for classifiers",
    "problem_type": "for classifiers",
    "attention_dropout": _DROPOUT,
    "attn_pdrop": _DROPOUT,
    "residual_dropout": _DROPOUT,
    "embedding_dropout": _DROPOUT,
    "hidden_dropout": _DROPOUT,
}
# Keys of all families, and the one value that is supported.
_FIXED: Config = {
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "is_decoder": False,
    "tie_encoder_decoder": False,
}


def model_config(folder: Path, seq_length: int | None = None) -> tuple[ModelConfig, int]:
    """(our model settings, vocabulary size) of a folder. seq_length: in place of the folder's.

    Raises:
        SeedbedError: for an unknown family or key, and for a file that is no such config.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise SeedbedError(f"{folder} holds no config.json", _EXPORT)
    config = json_object.read(path, _EXPORT)
    with json_object.shaped(path, "config of a model", _EXPORT):
        try:
            return _read(config, seq_length)
        except SeedbedError as error:
            raise SeedbedError(f"{path}: {error.problem}", error.fix) from error


def to_config(model: ModelConfig, vocab_size: int, dtype: str) -> Config:
    """The config.json of a model, without the tokenizer's ids. dtype: fp32 or bf16."""
    family = HF_FAMILIES[model.family]
    dynamic = model.rope.scaling == "dynamic"
    return {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "vocab_size": vocab_size,
        "hidden_size": model.hidden,
        "intermediate_size": model.ffn,
        family.ffn: model.ffn,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_size,
        "hidden_act": _activation(family),
        # The dynamic scaling begins beyond it.
        "max_position_embeddings": model.rope.original_length if dynamic else model.seq_length,
        family.norm_eps: model.norm_eps,
        "tie_word_embeddings": model.tie_embeddings,
        "initializer_range": model.init_std,
        "dtype": str(torch_dtype(dtype)).removeprefix("torch."),
        **hf_rope.write(model),
        **family.fixed,
        **family.pattern_back(model),
        **family.experts_back(model.experts),
        # vLLM and llama.cpp read this name for all but Mixtral.
        **({"num_experts": model.experts.number} if family.may_normalize else {}),
    }


def _activation(family: HfFamily) -> str:
    return str(family.defaults.get("hidden_act", _DEFAULTS["hidden_act"]))


def _read(config: Config, seq_length: int | None) -> tuple[ModelConfig, int]:
    name, family = _family(config)
    if family.experts and "num_experts" in config:
        config = _one_number_of_experts(config)
    _check_keys(config, family)
    full = {**_DEFAULTS, **family.defaults, **config}
    for key in (*_REQUIRED, family.ffn):
        _whole(key, full.get(key))
    for key in family.expert_keys()[:2]:
        _whole(key, full[key])
    if full["num_hidden_layers"] > _MOST_LAYERS:
        raise SeedbedError(
            f"num_hidden_layers={full['num_hidden_layers']} is above {_MOST_LAYERS}", _EXPORT
        )
    heads, hidden = full["num_attention_heads"], full["hidden_size"]
    base, rope = hf_rope.read(config, full["rope_theta"], FAMILIES[name].plain_windows)
    pattern, window = family.pattern(full)
    size = full["head_dim"] or 0
    model = ModelConfig(
        family=name,
        layers=full["num_hidden_layers"],
        hidden=hidden,
        ffn=full[family.ffn],
        heads=heads,
        kv_heads=_whole("num_key_value_heads", full["num_key_value_heads"] or heads),
        # What follows from the other two is left out, so that equal models are equal settings.
        head_dim=0 if size * heads == hidden else _whole("head_dim", size) if size else 0,
        seq_length=seq_length or full["max_position_embeddings"],
        rope_base=_number("rope_theta", base),
        rope=_numbers(rope),
        layer_pattern=_shortest(pattern),
        window=_whole("sliding_window", window) if window else 0,
        experts=_experts(family.experts_of(full)),
        norm_eps=_number(family.norm_eps, full[family.norm_eps]),
        tie_embeddings=_flag("tie_word_embeddings", full["tie_word_embeddings"]),
        init_std=_number("initializer_range", full["initializer_range"]),
    )
    model.check()
    return model, full["vocab_size"]


def _family(config: Config) -> tuple[str, HfFamily]:
    architectures = config.get("architectures")
    for key in ("text_config", "vision_config", "audio_config"):
        if key in config:
            raise SeedbedError(
                f"{architectures} has a {key}: models of several modalities are not supported",
                "give the folder of its language model alone",
            )
    if "quantization_config" in config:
        found = config["quantization_config"]
        method = found.get("quant_method") if isinstance(found, dict) else found
        raise SeedbedError(
            f"quantization_config={method}: quantised weights cannot be trained",
            "give the folder of the model in bf16 or fp32",
        )
    for name, family in HF_FAMILIES.items():
        if architectures == [family.architecture]:
            kind = config.get("model_type", family.model_type)
            if kind != family.model_type:
                raise SeedbedError(
                    f"architectures={architectures} and model_type={kind} do not belong together",
                    f"a {family.architecture} has model_type={family.model_type}",
                )
            return name, family
    known = ", ".join(family.architecture for family in HF_FAMILIES.values())
    raise SeedbedError(
        f"architectures={architectures} is not supported", f"use a model that is one of: {known}"
    )


def _check_keys(config: Config, family: HfFamily) -> None:
    """Refuses the first key that is not known, or that has a value that is not supported."""
    fixed = {**_FIXED, **family.fixed, "hidden_act": _activation(family)}
    used = {"architectures", *_REQUIRED, *_DEFAULTS, *_ROPE, *family.pattern_keys, family.ffn}
    used |= {*family.expert_keys()}
    used = (used - {"rms_norm_eps"}) | {family.norm_eps}
    for key, value in config.items():
        if key in fixed and value is not None and value != fixed[key]:
            raise SeedbedError(
                f"{key}={str(value).lower() if isinstance(value, bool) else value} is not "
                f"supported for a {family.architecture}",
                f"use a model with {key}={str(fixed[key]).lower()}",
            )
        if key in fixed or key in used or key in HARMLESS or key in family.unread or value is None:
            continue
        raise SeedbedError(
            f"{key}={str(value)[:80]} is no known key of a {family.architecture}, so what it "
            "changes is not known either",
            f"take {key} out of config.json if it changes nothing, or use another model",
        )


def _shortest(pattern: str) -> str:
    """The shortest letters that give the pattern when they are repeated."""
    lengths = [n for n in range(1, len(pattern) + 1) if len(pattern) % n == 0]
    return next(pattern[:n] for n in lengths if pattern[:n] * (len(pattern) // n) == pattern)


def _numbers(rope: Any) -> Any:
    """Refuses a scaling one of whose numbers is none."""
    for field in dataclasses.fields(rope):
        value = getattr(rope, field.name)
        if field.name == "original_length":
            value and _whole(field.name, value)
        elif field.name == "truncate":
            _flag(field.name, value)
        elif field.name != "scaling":
            _number(field.name, value)
    return rope


def _one_number_of_experts(config: Config) -> Config:
    """transformers has two names for it, and takes each for the other."""
    number = config["num_experts"]
    if config.get("num_local_experts", number) != number:
        raise SeedbedError(
            f"num_experts={number} and num_local_experts={config['num_local_experts']} are one "
            "number by two names",
            "take one of them out of config.json",
        )
    return {key: value for key, value in config.items() if key != "num_experts"} | {
        "num_local_experts": number
    }


def _experts(experts: ExpertsConfig) -> ExpertsConfig:
    """Refuses experts one of whose settings is of another type."""
    _flag("norm_topk_prob", experts.normalize)
    return replace(experts, aux_loss=_number("router_aux_loss_coef", experts.aux_loss))


def _whole(key: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise SeedbedError(f"{key}={value} must be a whole number from 1 on", _EXPORT)
    return value


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise SeedbedError(f"{key}={value} must be a number from 0 on", _EXPORT)
    return float(value)


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SeedbedError(f"{key}={value} must be true or false", _EXPORT)
    return value
