"""The scales of a delayed FP8 recipe in a checkpoint: plain tensors, the same in every layout,
emulated or Transformer Engine's.

Transformer Engine itself would put them into the model's state as pickled bytes, which it then
refuses to load (and rightly: a pickle runs code). Its other recipes, like the emulated ones, have
nothing to keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from megatron.core import fp8_utils, parallel_state
from megatron.core.dist_checkpointing import ShardedTensor

from conf.schema.pretrain import Fp8Config
from megatron_train.fp8.linear import Fp8Linear
from megatron_train.model.gpt import unwrap

# how the names of Transformer Engine's own entries end
PICKLED = "_extra_state"


def kept(fp8: Fp8Config) -> str:
    """What a checkpoint of this recipe keeps, in words that must be equal to be loaded; empty for
    nothing.
    """
    if not fp8.on or fp8.recipe != "delayed":
        return ""
    return f"{fp8.history} steps, {'emulated' if fp8.emulate else 'Transformer Engine'}"


def sharded(chunks: list[torch.nn.Module], layers: int) -> dict[str, ShardedTensor]:
    """One global tensor [layers, ...] for each kind of state and linear layer, cut by layer."""
    replica = (
        0,
        parallel_state.get_tensor_model_parallel_rank(),
        parallel_state.get_data_parallel_rank(True),
    )
    return {
        f"{number}.{name}": ShardedTensor.from_rank_offsets(
            f"fp8.{name}", tensor.clone()[None], (0, number, layers), replica_id=replica
        )
        for number, name, tensor in _tensors(chunks)
    }


@torch.no_grad()
def load(chunks: list[torch.nn.Module], loaded: dict[str, torch.Tensor]) -> None:
    """Put back what `sharded` named."""
    for number, name, tensor in _tensors(chunks):
        tensor.copy_(loaded[f"{number}.{name}"][0])
    for linear in (module for _, _, module in _linears(chunks) if isinstance(module, Fp8Linear)):
        linear.set_history(linear.history)


def prepare(chunks: list[torch.nn.Module], config: Any) -> None:
    """Let Transformer Engine make the tensors that it would make in the first step, so that `load`
    finds them.
    """
    for _, _, module in _linears(chunks):
        if not isinstance(module, Fp8Linear):
            recipe = fp8_utils.get_fp8_recipe(config)
            # set in the forward pass otherwise; ours are single products
            module.fp8_meta["num_gemms"] = 1
            module.fp8_meta["recipe"] = recipe
            module.init_fp8_meta_tensors(recipe)


def _linears(chunks: list[torch.nn.Module]) -> Iterator[tuple[int, str, Any]]:
    """(layer, name in it, its Fp8Linear or Transformer Engine module) of every linear layer that
    has FP8 state.
    """
    for chunk in chunks:
        for layer in unwrap(chunk).decoder.layers:
            for name, module in layer.named_modules():
                emulated = getattr(module, "_forward_impl", None)
                if isinstance(emulated, Fp8Linear):
                    yield layer.layer_number - 1, name, emulated
                elif hasattr(module, "fp8_meta") and hasattr(module, "weight"):
                    yield layer.layer_number - 1, name, module


def _tensors(chunks: list[torch.nn.Module]) -> Iterator[tuple[int, str, torch.Tensor]]:
    for number, name, module in _linears(chunks):
        if isinstance(module, Fp8Linear):
            yield number, f"{name}.history", module.history
            continue
        for direction in ("scaling_fwd", "scaling_bwd"):
            state = module.fp8_meta[direction]
            yield number, f"{name}.{direction}.amax_history", state.amax_history
            yield number, f"{name}.{direction}.scale", state.scale
