"""The tensors of a whole model, before any part of it is built."""

from __future__ import annotations

from collections.abc import Iterator

from conf.schema.layout import ModelConfig
from megatron_train.model import weights


def tensor_shapes(model: ModelConfig, rows: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yields (global name, shape) of every tensor. rows: of the embedding, with its padding."""
    yield weights.EMBEDDING, (rows, model.hidden)
    for layer in range(model.layers):
        for name, shape in _layer(model):
            yield f"decoder.layers.{layer}.{name}", shape
    yield from _norm("decoder.final_layernorm.", model)
    if not model.tie_embeddings:
        yield weights.HEAD, (rows, model.hidden)


def _layer(model: ModelConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    form, hidden = model.form, model.hidden
    inner = model.ffn * (2 if form.gated else 1)
    fused = model.query_width + 2 * model.key_width
    # (layer, rows, columns, whether it has a bias)
    matrices = [
        ("self_attention.linear_qkv", fused, hidden, form.bias or form.qkv_bias),
        ("self_attention.linear_proj", hidden, model.query_width, form.bias),
    ]
    if form.experts:
        matrices.append(("mlp.router", model.experts.number, hidden, False))
    mlps = [f"mlp.experts.{i}." for i in range(model.experts.number)] if form.experts else ["mlp."]
    for mlp in mlps:
        matrices += [
            (f"{mlp}linear_fc1", inner, hidden, form.bias),
            (f"{mlp}linear_fc2", hidden, model.ffn, form.bias),
        ]
    for name, rows, columns, bias in matrices:
        yield f"{name}.weight", (rows, columns)
        if bias:
            yield f"{name}.bias", (rows,)
    if form.post_norm:
        yield "self_attention.linear_proj.post_norm.weight", (hidden,)
        yield "mlp.linear_fc2.post_norm.weight", (hidden,)
    else:
        yield from _norm("self_attention.linear_qkv.layer_norm_", model)
        yield from _norm(
            "pre_mlp_layernorm." if form.experts else "mlp.linear_fc1.layer_norm_", model
        )
    widths = {
        "none": (),
        "head": (model.head_size, model.head_size),
        "whole": (model.query_width, model.key_width),
    }
    for name, width in zip("qk", widths[form.qk_norm], strict=False):
        yield f"self_attention.{name}_layernorm.weight", (width,)


def _norm(prefix: str, model: ModelConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{prefix}weight", (model.hidden,)
    if model.form.layer_norm:
        yield f"{prefix}bias", (model.hidden,)
