"""Our few model fields -> megatron-core's TransformerConfig and GPTModel.

With CUDA and Transformer Engine the layers are Transformer Engine's; everywhere else
megatron-core's own linear layers with torch's scaled-dot-product attention and RMSNorm (the shipped
local attention is slower, and the shipped torch norm refuses sequence parallelism). Both keep the
same checkpoint keys. Dropout is 0 throughout, as in Llama.
"""

from __future__ import annotations

import itertools
import logging
import math
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.models.gpt.gpt_layer_specs import (
    get_gpt_layer_local_spec,
    get_gpt_layer_with_transformer_engine_spec,
)
from megatron.core.transformer.module import Float16Module
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import (
    TransformerBlockSubmodules,
    get_num_layers_to_build,
)
from megatron.core.transformer.transformer_config import TransformerConfig

from conf.errors import SeedbedError
from conf.schema.pretrain import Fp8Config, ModelConfig, ParallelConfig
from megatron_train.fp8 import linear
from megatron_train.fp8 import support as fp8_support
from megatron_train.model.packed_sequences import borders
from megatron_train.parallel import context_parallel, processes

# Megatron-LM's --make-vocab-size-divisible-by: the embedding's rows are padded to this, so that
# every tp up to 128 that is a power of two cuts them evenly. The padding does not depend on tp, so
# a checkpoint has one shape in every layout, and padded logits never reach the softmax.
VOCAB_MULTIPLE = 128
TORCH_DTYPE = {"fp32": torch.float32, "bf16": torch.bfloat16}


def padded_vocab(vocab_size: int) -> int:
    return math.ceil(vocab_size / VOCAB_MULTIPLE) * VOCAB_MULTIPLE


def transformer_config(
    model: ModelConfig, layout: ParallelConfig, dtype: str, fp8: Fp8Config
) -> TransformerConfig:
    """megatron-core's config.

    Fusions need Apex or Transformer Engine kernels and stay off without them.
    """
    on_gpu = torch.cuda.is_available()
    return TransformerConfig(
        num_layers=model.layers,
        hidden_size=model.hidden,
        ffn_hidden_size=model.ffn,
        num_attention_heads=model.heads,
        num_query_groups=model.kv_heads,
        normalization="RMSNorm",
        layernorm_epsilon=model.norm_eps,
        gated_linear_unit=True,
        activation_func=F.silu,
        add_bias_linear=False,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        init_method_std=model.init_std,
        # weights.initialize draws them, the same in every layout
        perform_initialization=False,
        use_cpu_initialization=not on_gpu,
        tensor_model_parallel_size=layout.tp,
        pipeline_model_parallel_size=layout.pp,
        virtual_pipeline_model_parallel_size=layout.vpp if layout.vpp > 1 else None,
        # Batched sends mix up the chunks of an interleaved pipeline: it then trains wrong with no
        # error (docs/pretrain.md).
        overlap_p2p_comm=layout.vpp > 1,
        batch_p2p_comm=layout.vpp == 1,
        context_parallel_size=layout.cp,
        sequence_parallel=layout.sequence_parallel,
        recompute_granularity=None if layout.recompute == "none" else layout.recompute,
        recompute_method="uniform" if layout.recompute == "full" else None,
        recompute_num_layers=1 if layout.recompute == "full" else None,
        params_dtype=TORCH_DTYPE[dtype],
        pipeline_dtype=TORCH_DTYPE[dtype],
        bf16=dtype == "bf16",
        **fp8_support.megatron_fields(fp8),
        # gradients are sums over tokens / tokens of the whole step, exact under uneven masks
        calculate_per_token_loss=True,
        attention_softmax_in_fp32=True,
        bias_activation_fusion=False,
        bias_dropout_fusion=False,
        masked_softmax_fusion=False,
        gradient_accumulation_fusion=False,
        apply_rope_fusion=False,
        persist_layer_norm=False,
    )


def build_chunks(
    config: TransformerConfig,
    model: ModelConfig,
    vocab_size: int,
    fp8: Fp8Config,
    device: str | torch.device | None = None,
) -> list[torch.nn.Module]:
    """This process's part of the model: one GPTModel a pipeline stage, or vpp of them where the
    pipeline is interleaved.

    Weights are uninitialised, on this process's device unless another is named ("meta": without
    memory). Raises SeedbedError when the padded vocabulary does not divide by tp.
    """
    padded = padded_vocab(vocab_size)
    tp = config.tensor_model_parallel_size
    if padded % tp:
        raise SeedbedError(
            f"the vocabulary, padded to a multiple of {VOCAB_MULTIPLE}, must divide by parallel.tp: "
            f"{padded} % {tp} = {padded % tp}",
            "use a power of two for parallel.tp",
        )
    logging.getLogger("megatron.core.models.gpt.gpt_model").setLevel(
        logging.ERROR
        # announces its successor at every build
    )

    where = device or processes.device()

    def build(vp_stage: int | None) -> torch.nn.Module:
        place = {"ignore_virtual": False, "vp_stage": vp_stage}
        with torch.device(where):
            chunk = GPTModel(
                config=config,
                transformer_layer_spec=_layer_spec(config, fp8, vp_stage),
                vocab_size=padded,
                max_sequence_length=model.seq_length,
                pre_process=parallel_state.is_pipeline_first_stage(**place),
                post_process=parallel_state.is_pipeline_last_stage(**place),
                position_embedding_type="rope",
                rotary_base=model.rope_base,
                share_embeddings_and_output_weights=model.tie_embeddings,
                parallel_output=True,
                vp_stage=vp_stage,
            ).to(where)
        if fp8.emulate:
            linear.install(chunk, fp8, model.layers)
        return Float16Module(config, chunk) if config.bf16 else chunk

    interleaved = config.virtual_pipeline_model_parallel_size
    return [build(i) for i in range(interleaved)] if interleaved else [build(None)]


def unwrap(module: torch.nn.Module) -> GPTModel:
    """The GPTModel inside the data-parallel and bf16 wrappers."""
    while hasattr(module, "module"):
        module = module.module
    return module


class RMSNorm(torch.nn.RMSNorm):
    """torch's RMSNorm, with the mark that makes megatron-core sum its gradient over the
    sequence-parallel processes.
    """

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = 1e-5, **_: Any):
        super().__init__(hidden_size, eps=eps, dtype=config.params_dtype)
        self.weight.sequence_parallel = config.sequence_parallel


class SDPACoreAttention(torch.nn.Module):
    """softmax(q k^T / sqrt(d)) v through torch's scaled_dot_product_attention, causal, and within
    documents where they are given.

    Each document is a call of its own: what it costs is what the documents cost, not the row. Under
    context parallelism s below is this process's share of the places, those of context.chunks_of.
    """

    def __init__(
        self,
        config: TransformerConfig,
        layer_number: int,
        attn_mask_type: Any,
        attention_type: str,
        **_: Any,
    ):
        super().__init__()

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **_: Any,
    ) -> torch.Tensor:
        """query [s, b, heads, d], key and value [s, b, kv_heads, d]; attention_mask, which
        megatron-core hands through as it is: documents.beginnings of the rows, or None for one
        document a row. Returns [s, b, heads * d].
        """
        if context_parallel.size() == 1:
            return _attend(query, key, value, 0, attention_mask)
        key, value = context_parallel.gather_keys(key), context_parallel.gather_keys(value)
        length = query.size(0) // 2
        halves = zip(
            query.split(length), context_parallel.chunks_of(context_parallel.rank()), strict=True
        )
        return torch.cat(
            [_attend(half, key, value, chunk * length, attention_mask) for half, chunk in halves]
        )


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    first: int,
    starts: torch.Tensor | None,
) -> torch.Tensor:
    """Queries of places first ...

    first + s over keys and values of all places; [s, b, heads * d].
    """
    stop = first + query.size(0)
    if starts is None:
        return _causal(query, key[:stop], value[:stop])
    each = borders(starts, key.size(0), first, stop)
    rows = zip(query.unbind(1), key.unbind(1), value.unbind(1), each, strict=True)
    return torch.stack([torch.cat(_row(*one, first)) for one in rows], 1)


def _row(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, places: list[int], first: int
) -> list[torch.Tensor]:
    """One row, [s, heads, d], of documents between `places`, the first of which may begin before
    the queries do. Cut by `split`, whose gradient is one copy: that of a slice fills a tensor as
    large as the whole, for each.
    """
    asked = [min(end - first, end - begin) for begin, end in itertools.pairwise(places)]
    seen = [
        places[0],
        *(end - begin for begin, end in itertools.pairwise(places)),
        key.size(0) - places[-1],
    ]
    parts = zip(query.split(asked), key.split(seen)[1:-1], value.split(seen)[1:-1], strict=True)
    return [_causal(*(part[:, None] for part in one))[:, 0] for one in parts]


def _causal(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """query [q, b, heads, d] are the last q places of key and value [k, b, kv_heads, d] -> [q, b,
    heads * d].
    """
    q, k, v = (t.permute(1, 2, 0, 3) for t in (query, key, value))
    asked, seen = query.size(0), key.size(0)
    mask = None
    # torch's own causal mask would take them for the first
    if asked < seen:
        mask = torch.ones(asked, seen, dtype=torch.bool, device=query.device).tril(seen - asked)
    out = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=q.size(1) != k.size(1)
    )
    return out.permute(2, 0, 1, 3).flatten(2)


def _layer_spec(
    config: TransformerConfig, fp8: Fp8Config, vp_stage: int | None
) -> ModuleSpec | TransformerBlockSubmodules:
    if fp8_support.uses_transformer_engine(fp8):
        return get_gpt_layer_with_transformer_engine_spec()
    layer = get_gpt_layer_local_spec(normalization="RMSNorm")
    layer.submodules.input_layernorm = RMSNorm
    layer.submodules.pre_mlp_layernorm = RMSNorm
    layer.submodules.self_attention.submodules.core_attention = SDPACoreAttention
    layers = [layer] * get_num_layers_to_build(config, vp_stage=vp_stage)
    return TransformerBlockSubmodules(layer_specs=layers, layer_norm=RMSNorm)
