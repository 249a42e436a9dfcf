"""Our model settings -> megatron-core's TransformerConfig and GPTModel.

With CUDA and Transformer Engine the layers are Transformer Engine's. Everywhere else they are
megatron-core's own linear layers with torch's scaled-dot-product attention (attention.py) and
torch's norms (norms.py): megatron-core's local attention is slower, and its torch norm refuses
sequence parallelism. Both kinds of layers keep the same checkpoint keys. Dropout is 0.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.transformer.module import Float16Module
from megatron.core.transformer.transformer_config import TransformerConfig

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig, ParallelConfig
from megatron_train.fp8.policy import NoFp8
from megatron_train.model import rope, rotation
from megatron_train.model.layer_spec import form_fields, layer_spec
from megatron_train.parallel import processes
from seedbed.dtypes import torch_dtype

# Megatron-LM's --make-vocab-size-divisible-by. The embedding's rows are padded to a multiple of it.
# Then every tp up to 128 that is a power of two cuts them evenly. The padding does not depend on
# tp, so a checkpoint has one shape in every layout. Padded logits never reach the softmax.
VOCAB_MULTIPLE = 128


def padded_vocab(vocab_size: int) -> int:
    return math.ceil(vocab_size / VOCAB_MULTIPLE) * VOCAB_MULTIPLE


def transformer_config(
    model: ModelConfig, layout: ParallelConfig, dtype: str, fp8: NoFp8
) -> TransformerConfig:
    """megatron-core's config. Fusions are off, since they need Apex or Transformer Engine kernels.

    fp8: the policy of the run (fp8/policy.py).
    """
    on_gpu = torch.cuda.is_available()
    return TransformerConfig(
        num_layers=model.layers,
        hidden_size=model.hidden,
        ffn_hidden_size=model.ffn,
        num_attention_heads=model.heads,
        num_query_groups=model.kv_heads,
        layernorm_epsilon=model.norm_eps,
        **form_fields(model),
        hidden_dropout=0.0,
        attention_dropout=0.0,
        init_method_std=model.init_std,
        # weights.initialize draws the initial values, the same in every layout.
        perform_initialization=False,
        use_cpu_initialization=not on_gpu,
        tensor_model_parallel_size=layout.tp,
        pipeline_model_parallel_size=layout.pp,
        num_layers_in_first_pipeline_stage=layout.first_layers or None,
        num_layers_in_last_pipeline_stage=layout.last_layers or None,
        virtual_pipeline_model_parallel_size=layout.vpp if layout.vpp > 1 else None,
        # Batched sends mix up the chunks of an interleaved pipeline, which then trains wrong with
        # no error (docs/pretrain.md).
        overlap_p2p_comm=layout.vpp > 1,
        batch_p2p_comm=layout.vpp == 1,
        context_parallel_size=layout.cp,
        expert_model_parallel_size=layout.ep,
        sequence_parallel=layout.sequence_parallel,
        recompute_granularity=None if layout.recompute == "none" else layout.recompute,
        recompute_method="uniform" if layout.recompute == "full" else None,
        recompute_num_layers=1 if layout.recompute == "full" else None,
        params_dtype=torch_dtype(dtype),
        pipeline_dtype=torch_dtype(dtype),
        bf16=dtype == "bf16",
        **fp8.megatron_fields(),
        # A gradient is a sum over tokens divided by the tokens of the whole step, which is exact
        # under uneven masks.
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
    fp8: NoFp8,
    device: str | torch.device | None = None,
) -> list[torch.nn.Module]:
    """This process's part of the model: one GPTModel, or vpp of them in an interleaved pipeline.

    Weights are uninitialised, on this process's device unless another is named. On the device
    "meta" they take no memory.

    Raises:
        SeedbedError: where the padded vocabulary does not divide by tp.
    """
    padded = padded_vocab(vocab_size)
    tp = config.tensor_model_parallel_size
    if padded % tp:
        raise SeedbedError(
            f"the vocabulary, padded to a multiple of {VOCAB_MULTIPLE}, must divide by "
            f"parallel.tp: {padded} % {tp} = {padded % tp}",
            "use a power of two for parallel.tp",
        )
    # At every build it announces the model class that is to follow it.
    logging.getLogger("megatron.core.models.gpt.gpt_model").setLevel(logging.ERROR)
    where = device or processes.device()
    rotation.install()

    def build(vp_stage: int | None) -> torch.nn.Module:
        place = {"ignore_virtual": False, "vp_stage": vp_stage}
        with torch.device(where):
            chunk = GPTModel(
                config=config,
                transformer_layer_spec=layer_spec(
                    config, model.form, fp8.transformer_engine, vp_stage
                ),
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
        if model.form.experts:
            _mark_experts(chunk)
        elif model.form.gated:
            _mark_pairs(chunk)
        if model.rope.scaling != "none":
            set_positions(chunk, model)
        fp8.install(chunk, model.layers)
        return Float16Module(config, chunk) if config.bf16 else chunk

    interleaved = config.virtual_pipeline_model_parallel_size
    return [build(i) for i in range(interleaved)] if interleaved else [build(None)]


def unwrap(module: torch.nn.Module) -> GPTModel:
    """The GPTModel inside the data-parallel and bf16 wrappers."""
    while hasattr(module, "module"):
        module = module.module
    return module


@contextmanager
def rotated_by(chunk: torch.nn.Module, places: torch.Tensor | None) -> Iterator[None]:
    """Forward passes of `chunk` within rotate position i of the row as places[i].

    None: as the row counts.
    """
    if places is None:
        yield
        return
    rotary = unwrap(chunk).rotary_pos_emb
    handle = rotary.register_forward_hook(lambda _, __, angles: angles[places])
    try:
        yield
    finally:
        handle.remove()


def _mark_pairs(chunk: GPTModel) -> None:
    """Note on the first matrices of gated MLPs that their rows are [gate; up]."""
    for name, parameter in chunk.named_parameters():
        parameter.gate_and_up = name.endswith("mlp.linear_fc1.weight")


def _mark_experts(chunk: GPTModel) -> None:
    """Note on each matrix of an expert that it is whole where it is.

    megatron-core marks it as cut, over a group of one process.
    """
    for name, parameter in chunk.named_parameters():
        parameter.of_expert = ".mlp.experts." in name


def set_positions(chunk: torch.nn.Module, model: ModelConfig) -> None:
    """Give a chunk the rotary positions of `model`; megatron-core knows a part of the scalings."""
    inner = unwrap(chunk)
    device = inner.rotary_pos_emb.inv_freq.device
    inner.rotary_pos_emb.inv_freq = rope.frequencies(model).to(device)
    # It keeps what it has computed for each length.
    type(inner.rotary_pos_emb).forward.cache_clear()
    plain = rope.unscaled(model).to(device)
    for layer in inner.decoder.layers:
        attention = layer.self_attention
        if model.form.plain_windows and attention.core_attention.window:
            attention.register_forward_pre_hook(
                lambda _, args, named: (
                    args,
                    named | {"rotary_pos_emb": named["rotary_pos_emb"] * plain},
                ),
                with_kwargs=True,
            )
        else:
            attention._yarn_concentration_factor = model.rope.amplitude
