"""Tiny Hugging Face folders of every family, made by transformers with random weights.

No number is a default or a power of two where it need not be, and norms and biases are random too:
a setting that is not read then moves the logits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# It is padded to 512.
VOCAB = 500
_COMMON: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 60,
    "intermediate_size": 88,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "initializer_range": 0.15,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": 3,
    "pad_token_id": None,
}
_EPS = {"rms_norm_eps": 3e-4}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 7e3,
    "factor": 6.0,
    "low_freq_factor": 1.5,
    "high_freq_factor": 3.5,
    "original_max_position_embeddings": 24,
}
_YARN = {
    "rope_type": "yarn",
    "rope_theta": 5e3,
    "factor": 3.0,
    "original_max_position_embeddings": 32,
    "beta_fast": 20.0,
    "beta_slow": 2.0,
}
_QWEN3_MOE = {"head_dim": 16, "num_experts": 4, "moe_intermediate_size": 36}
# name -> (transformers' class, its settings beyond the common ones).
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", _EPS),
    "llama-linear": (
        "Llama",
        {**_EPS, "rope_parameters": {"rope_type": "linear", "rope_theta": 1e5, "factor": 4.0}},
    ),
    "llama-llama3": ("Llama", {**_EPS, "rope_parameters": _LLAMA3, "tie_word_embeddings": True}),
    "llama-dynamic": (
        "Llama",
        {**_EPS, "rope_parameters": {"rope_type": "dynamic", "rope_theta": 9e3, "factor": 2.0}},
    ),
    "llama-yarn": ("Llama", {**_EPS, "rope_parameters": _YARN}),
    "llama-yarn-mscale": (
        "Llama",
        {
            **_EPS,
            "rope_parameters": {
                **_YARN,
                "mscale": 1.3,
                "mscale_all_dim": 0.4,
                "truncate": False,
            },
        },
    ),
    "llama-head-dim": ("Llama", {**_EPS, "head_dim": 16}),
    "qwen2": ("Qwen2", {**_EPS, "tie_word_embeddings": True}),
    "qwen2-window": (
        "Qwen2",
        {**_EPS, "use_sliding_window": True, "sliding_window": 11, "max_window_layers": 3},
    ),
    "qwen3": ("Qwen3", {**_EPS, "head_dim": 16}),
    "mistral": ("Mistral", {**_EPS, "sliding_window": 13, "head_dim": 14}),
    "smollm3": ("SmolLM3", {**_EPS, "tie_word_embeddings": True, "no_rope_layer_interval": 2}),
    "starcoder2": (
        "Starcoder2",
        {"norm_epsilon": 2e-4, "tie_word_embeddings": True, "sliding_window": 17},
    ),
    "olmo2": ("Olmo2", _EPS),
    "olmo3": (
        "Olmo3",
        {
            **_EPS,
            "sliding_window": 15,
            "rope_parameters": {
                "full_attention": _YARN,
                "sliding_attention": {"rope_type": "default", "rope_theta": 5e3},
            },
        },
    ),
    "olmo3-plain": (
        "Olmo3",
        {**_EPS, "sliding_window": 21, "layer_types": ["full_attention", "sliding_attention"] * 2},
    ),
    "mixtral": (
        "Mixtral",
        {**_EPS, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 19},
    ),
    # Its experts are not normalised, and their widths are not that of intermediate_size.
    "qwen3_moe": (
        "Qwen3Moe",
        {**_EPS, **_QWEN3_MOE, "norm_topk_prob": False, "num_experts_per_tok": 3},
    ),
    "qwen3_moe-normalized": (
        "Qwen3Moe",
        {**_EPS, **_QWEN3_MOE, "norm_topk_prob": True, "num_experts_per_tok": 2},
    ),
}


def write(folder: Path, name: str, **more: Any) -> Path:
    """Write the folder of a case, without a tokenizer. more: further settings."""
    import torch
    import transformers

    kind, settings = CASES[name]
    torch.manual_seed(len(name))
    config = getattr(transformers, f"{kind}Config")(**{**_COMMON, **settings, **more})
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


def edit(folder: Path, **changes: Any) -> None:
    """Change keys of the folder's config.json; None takes a key out."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: v for key, v in config.items() if v is not None}))
