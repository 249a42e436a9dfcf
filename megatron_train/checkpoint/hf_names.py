"""A megatron-core tensor <-> the Hugging Face tensors that it is made of.

megatron-core's attention matrix holds, for each key/value group in turn, the group's query heads,
its key head and its value head. Its bias is ordered in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import torch

from conf.schema.layout import ModelConfig
from megatron_train.model import weights
from megatron_train.model.gpt import padded_vocab
from megatron_train.model.shapes import tensor_shapes

_OUTER = {
    weights.EMBEDDING: "model.embed_tokens.weight",
    weights.HEAD: "lm_head.weight",
    "decoder.final_layernorm.weight": "model.norm.weight",
    "decoder.final_layernorm.bias": "model.norm.bias",
}
_QKV = "self_attention.linear_qkv"
_FC1 = "mlp.linear_fc1"
# What a layer's modules are called. Weights and biases keep their names.
_LAYER = {
    _QKV: ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention.linear_proj": ("self_attn.o_proj",),
    "self_attention.q_layernorm": ("self_attn.q_norm",),
    "self_attention.k_layernorm": ("self_attn.k_norm",),
    "self_attention.linear_qkv.layer_norm": ("input_layernorm",),
    "self_attention.linear_proj.post_norm": ("post_attention_layernorm",),
    "mlp.linear_fc1.layer_norm": ("post_attention_layernorm",),
    "mlp.linear_fc2.post_norm": ("post_feedforward_layernorm",),
    _FC1: ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.linear_fc2": ("mlp.down_proj",),
    "pre_mlp_layernorm": ("post_attention_layernorm",),
    "mlp.router": ("mlp.gate",),
    "mlp.experts.linear_fc1": ("mlp.experts.{}.gate_proj", "mlp.experts.{}.up_proj"),
    "mlp.experts.linear_fc2": ("mlp.experts.{}.down_proj",),
}
# What families call by other names.
_MIXTRAL = "block_sparse_moe."
_OTHERS: dict[str, dict[str, tuple[str, ...]]] = {
    "starcoder2": {_FC1: ("mlp.c_fc",), "mlp.linear_fc2": ("mlp.c_proj",)},
    "mixtral": {
        "mlp.router": (f"{_MIXTRAL}gate",),
        "mlp.experts.linear_fc1": (f"{_MIXTRAL}experts.{{}}.w1", f"{_MIXTRAL}experts.{{}}.w3"),
        "mlp.experts.linear_fc2": (f"{_MIXTRAL}experts.{{}}.w2",),
    },
}
_EXPERT = re.compile(r"mlp\.experts\.(\d+)\.")


def module_names(model: ModelConfig, module: str) -> tuple[str, ...]:
    """The Hugging Face modules that a module of a megatron-core layer is made of."""
    expert = _EXPERT.match(module)
    kind = _EXPERT.sub("mlp.experts.", module)
    names = _OTHERS.get(model.family, {}).get(kind, _LAYER[kind])
    return tuple(name.format(expert[1]) for name in names) if expert else names


def to_hf(
    name: str, full: torch.Tensor, model: ModelConfig, vocab_size: int
) -> Iterator[tuple[str, torch.Tensor]]:
    """One megatron tensor -> its Hugging Face tensors."""
    if name in _OUTER:
        outer = name in (weights.EMBEDDING, weights.HEAD)
        yield _OUTER[name], full[:vocab_size] if outer else full
        return
    layer, module, kind = _split(name)
    names = module_names(model, module)
    for theirs, part in zip(names, _parts(module, full, model), strict=True):
        yield f"model.layers.{layer}.{theirs}.{kind}", part


def from_hf(
    name: str, shape: torch.Size, model: ModelConfig, read: Callable[[str], torch.Tensor]
) -> torch.Tensor:
    """One megatron tensor <- its Hugging Face tensors; rows of the padded vocabulary are zeros."""
    if name in (weights.EMBEDDING, weights.HEAD):
        rows = read(_OUTER[name])
        return torch.cat(
            [rows, rows.new_zeros(padded_vocab(rows.size(0)) - rows.size(0), rows.size(1))]
        )
    if name in _OUTER:
        return read(_OUTER[name])
    layer, module, kind = _split(name)
    parts = [read(f"model.layers.{layer}.{one}.{kind}") for one in module_names(model, module)]
    if module == _QKV:
        columns = parts[0].shape[1:]
        grouped = [part.view(model.kv_heads, -1, model.head_size, *columns) for part in parts]
        return torch.cat(grouped, dim=1).view(shape)
    return torch.cat(parts)


def expected(model: ModelConfig, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor that a folder of such a model holds."""
    return {
        theirs: tuple(part.shape)
        for name, shape in tensor_shapes(model, vocab_size)
        for theirs, part in to_hf(name, torch.empty(shape, device="meta"), model, vocab_size)
    }


def _split(name: str) -> tuple[str, str, str]:
    """(layer, module, weight or bias) of a tensor of a layer."""
    match = re.fullmatch(r"decoder\.layers\.(\d+)\.(.+)[._](weight|bias)", name)
    assert match, name
    return match[1], match[2], match[3]


def _parts(module: str, full: torch.Tensor, model: ModelConfig) -> list[torch.Tensor]:
    """The Hugging Face tensors, in the order of `_LAYER`."""
    if module == _QKV:
        per_group = model.heads // model.kv_heads
        # An adapter's B has as many columns as its rank, and a bias has none.
        columns = full.shape[1:]
        qkv = full.view(model.kv_heads, per_group + 2, model.head_size, *columns)
        return [
            qkv[:, :per_group].reshape(-1, *columns),
            qkv[:, per_group].reshape(-1, *columns),
            qkv[:, per_group + 1].reshape(-1, *columns),
        ]
    if module.endswith("linear_fc1") and model.form.gated:
        return [full[: model.ffn], full[model.ffn :]]
    return [full]
