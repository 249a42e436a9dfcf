"""The form of a family -> megatron-core's specification of its layers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.models.gpt.gpt_layer_specs import (
    get_gpt_layer_local_spec,
    get_gpt_layer_with_transformer_engine_spec,
)
from megatron.core.tensor_parallel import ColumnParallelLinear, RowParallelLinear
from megatron.core.transformer.identity_op import IdentityOp
from megatron.core.transformer.mlp import MLPSubmodules
from megatron.core.transformer.moe.experts import SequentialMLP
from megatron.core.transformer.moe.moe_layer import MoELayer, MoESubmodules
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import (
    TransformerBlockSubmodules,
    get_num_layers_to_build,
)
from megatron.core.transformer.transformer_config import TransformerConfig

from conf.schema.families import Family
from conf.schema.layout import ModelConfig
from megatron_train.model.attention import SDPACoreAttention
from megatron_train.model.norms import HeadsNormAttention, LayerNorm, NormedLinear, RMSNorm
from megatron_train.model.swiglu import SwiGLU

_GELU: Callable[[torch.Tensor], torch.Tensor] = functools.partial(F.gelu, approximate="tanh")


def form_fields(model: ModelConfig) -> dict[str, Any]:
    """The fields of megatron-core's TransformerConfig that a model's form decides."""
    form, kinds = model.form, model.kinds()
    fields: dict[str, Any] = {
        "kv_channels": model.head_size,
        "normalization": "LayerNorm" if form.layer_norm else "RMSNorm",
        "gated_linear_unit": form.gated,
        "activation_func": F.silu if form.gated else _GELU,
        "add_bias_linear": form.bias,
        "add_qkv_bias": form.qkv_bias,
        "qk_layernorm": form.qk_norm == "head",
    }
    if "n" in kinds:
        fields["no_rope_freq"] = [int(kind == "n") for kind in kinds]
    if "w" in kinds:
        # megatron-core counts the tokens to the left of a token.
        fields["window_size"] = (model.window - 1, 0)
        fields["window_attn_skip_freq"] = [int(kind == "w") for kind in kinds]
    if form.experts:
        fields |= _expert_fields(model)
    return fields


def _expert_fields(model: ModelConfig) -> dict[str, Any]:
    experts = model.experts
    return {
        "num_moe_experts": experts.number,
        "moe_ffn_hidden_size": model.ffn,
        "moe_router_topk": experts.top_k,
        # A softmax over the logits of the top_k is the softmax over all, divided by their sum.
        "moe_router_pre_softmax": not experts.normalize,
        "moe_router_load_balancing_type": "aux_loss" if experts.aux_loss else "none",
        "moe_aux_loss_coeff": experts.aux_loss,
        "moe_token_dispatcher_type": "alltoall",
        # gloo gathers no parts of different lengths, so no expert is cut.
        "expert_tensor_parallel_size": 1,
    }


def layer_spec(
    config: TransformerConfig, form: Family, transformer_engine: bool, vp_stage: int | None
) -> ModuleSpec | TransformerBlockSubmodules:
    """The layers of one chunk of the model."""
    if transformer_engine:
        return get_gpt_layer_with_transformer_engine_spec(qk_layernorm=config.qk_layernorm)
    norm = LayerNorm if form.layer_norm else RMSNorm
    layer = get_gpt_layer_local_spec(normalization="RMSNorm")
    before = IdentityOp if form.post_norm else norm
    layer.submodules.input_layernorm = before
    layer.submodules.pre_mlp_layernorm = before
    if form.gated:
        # The name says Transformer Engine, but megatron-core calls whatever is given.
        config.use_te_activation_func = True
        layer.submodules.mlp.keywords["submodules"].activation_func = SwiGLU
    if form.experts:
        layer.submodules.mlp = _experts()
        # With experts Transformer Engine's layers keep this norm apart as well.
        del layer.submodules.sharded_state_dict_keys_map["pre_mlp_layernorm."]
    attention = layer.submodules.self_attention
    attention.submodules.core_attention = SDPACoreAttention
    if form.qk_norm == "head":
        attention.submodules.q_layernorm = norm
        attention.submodules.k_layernorm = norm
    if form.qk_norm == "whole":
        attention.module = HeadsNormAttention
    if form.post_norm:
        attention.submodules.linear_proj = NormedLinear
        layer.submodules.mlp.keywords["submodules"].linear_fc2 = NormedLinear
    layers = [layer] * get_num_layers_to_build(config, vp_stage=vp_stage)
    return TransformerBlockSubmodules(layer_specs=layers, layer_norm=norm)


def _experts() -> Callable[..., MoELayer]:
    """Experts that are computed one after the other, each by an MLP with our activation.

    config.use_te_activation_func holds for them too: without the activation here, gate and up would
    go into the second matrix as they are.
    """
    mlp = MLPSubmodules(
        linear_fc1=ColumnParallelLinear, linear_fc2=RowParallelLinear, activation_func=SwiGLU
    )
    experts = functools.partial(SequentialMLP, submodules=mlp)
    return functools.partial(MoELayer, submodules=MoESubmodules(experts=experts))
