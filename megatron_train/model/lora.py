"""Low-rank adapters on megatron-core's linear layers (LoRA, arXiv 2106.09685 Sec 4.1).

A layer's output W x becomes W x + (alpha / rank) B A x, where W stays as it is. A is [rank, in] and
B [out, rank]. They are cut over tensor-parallel processes as W is: B of a column-parallel layer by
its rows, A of a row-parallel one by its columns. The other matrix is whole on every process.

Adapters belong to the GPTModel and not to its layers, so that the names and the checkpoint entries
of the model's own weights do not change.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.tensor_parallel import (
    RowParallelLinear,
    copy_to_tensor_model_parallel_region,
    gather_from_sequence_parallel_region,
    reduce_from_tensor_model_parallel_region,
    reduce_scatter_to_sequence_parallel_region,
    set_tensor_model_parallel_attributes,
)
from megatron.core.transformer.mlp import apply_swiglu_sharded_factory
from megatron.core.transformer.transformer_config import TransformerConfig
from megatron.core.transformer.utils import make_sharded_tensors_for_checkpoint

from conf.schema.lora import LoraConfig
from megatron_train.model import weights
from megatron_train.model.gpt import unwrap


class Adapter(torch.nn.Module):
    """A and B of one linear layer, as this process holds them."""

    def __init__(self, linear: torch.nn.Module, config: TransformerConfig, lora: LoraConfig):
        super().__init__()
        weight = linear.weight
        assert isinstance(weight, torch.nn.Parameter)
        out, into = weight.shape
        empty = {"dtype": weight.dtype, "device": weight.device}
        self.a = torch.nn.Parameter(torch.empty(lora.rank, into, **empty))
        self.b = torch.nn.Parameter(torch.empty(out, lora.rank, **empty))
        self.scale = lora.alpha / lora.rank
        self.by_rows = isinstance(linear, RowParallelLinear)
        self.sequence_parallel = config.sequence_parallel
        # A gated layer holds [gate; up] of its part.
        self.gated = False
        cut, whole, dim = (self.a, self.b, 1) if self.by_rows else (self.b, self.a, 0)
        set_tensor_model_parallel_attributes(cut, True, dim, 1)
        # Under sequence parallelism each process sees a part of the tokens, and megatron-core sums
        # the gradients of whole matrices over the processes.
        whole.sequence_parallel = config.sequence_parallel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What is added to the layer's output; x is the layer's input, cut as the layer gets it."""
        low = F.linear(x, self.a)
        if self.by_rows:
            # A saw a part of the features.
            low = (
                reduce_scatter_to_sequence_parallel_region(low)
                if self.sequence_parallel
                else reduce_from_tensor_model_parallel_region(low)
            )
        elif self.sequence_parallel:
            low = gather_from_sequence_parallel_region(low)
        else:
            # B gives a part of the outputs, so the gradient of `low` is a sum over processes.
            low = copy_to_tensor_model_parallel_region(low)
        return self.scale * F.linear(low, self.b)

    def product(self) -> torch.Tensor:
        """(alpha / rank) B A in fp32, cut as the layer's weight is."""
        return self.scale * (self.b.detach().float() @ self.a.detach().float())

    def sharded_state_dict(
        self, prefix: str = "", sharded_offsets: Any = (), metadata: Any = None, **groups: Any
    ) -> dict[str, Any]:
        """megatron-core's checkpoint entries, which every layout can load."""
        axes = {"a": 1} if self.by_rows else {"b": 0}
        held = self.state_dict(prefix="", keep_vars=True)
        entries = make_sharded_tensors_for_checkpoint(held, prefix, axes, sharded_offsets)
        if self.gated:
            # Another layout cuts gate and up at other places.
            name = f"{prefix}b"
            entries[name] = apply_swiglu_sharded_factory(entries[name], sharded_offsets)
        return entries


class Adapters(torch.nn.ModuleDict):
    """The adapters of one part of the model, by layer_N_KIND with N counted over all parts."""

    def sharded_state_dict(
        self, prefix: str = "", sharded_offsets: Any = (), metadata: Any = None, **groups: Any
    ) -> dict[str, Any]:
        """megatron-core's checkpoint entries of all of them."""
        entries: dict[str, Any] = {}
        for name, adapter in self.items():
            assert isinstance(adapter, Adapter)
            entries |= adapter.sharded_state_dict(f"{prefix}{name}.", sharded_offsets)
        return entries


def install(chunks: list[torch.nn.Module], lora: LoraConfig, seed: int) -> None:
    """Give each layer of lora.layers an adapter, and let nothing else learn.

    A is uniform as PEFT's, in +-1 / sqrt(in), and B is 0, so the model starts as it is. Values are
    drawn by name: the same in every layout. It comes before the data-parallel wrapper.
    """
    for chunk in chunks:
        model = unwrap(chunk)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        if model.pre_process:
            # Where activations are recomputed, a layer learns only if its input has a gradient.
            model.embedding.register_forward_hook(_with_gradient)
        model.adapters = Adapters()
        for name, linear in list(model.named_modules()):
            kind = name.rsplit(".", 1)[-1]
            if kind not in lora.layers:
                continue
            adapter = Adapter(linear, model.config, lora)
            adapter.gated = kind == "linear_fc1" and model.config.gated_linear_unit
            adapter.b.gate_and_up = adapter.gated
            layer = model.decoder.layers[int(name.split(".")[2])].layer_number - 1
            model.adapters[f"layer_{layer}_{kind}"] = adapter
            linear.weight.adapter = adapter
            linear.register_forward_hook(_adding(adapter))
    for name, parameter in weights.adapter_parameters(chunks).items():
        full = _drawn(name, weights.full_shape(parameter), seed)
        with torch.no_grad():
            parameter.copy_(weights.part_of(full, parameter))


def merged(parameter: torch.nn.Parameter) -> torch.Tensor:
    """The parameter with its adapter's product added, where it has one; in the same dtype."""
    adapter = getattr(parameter, "adapter", None)
    if adapter is None:
        return parameter.detach()
    return (parameter.detach().float() + adapter.product()).to(parameter.dtype)


def gather(chunks: list[torch.nn.Module]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields (name, whole matrix on the CPU) of all adapters on process 0; collective.

    Names are adapters.layer_N_KIND.a and .b, with N counted over all pipeline stages from 0.
    """
    weights.finish_weights(chunks)
    yield from weights.gather_named(weights.adapter_parameters(chunks), torch.Tensor.detach)


def _drawn(name: str, shape: torch.Size, seed: int) -> torch.Tensor:
    if name.endswith(".b"):
        return torch.zeros(shape)
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    bound = 1 / math.sqrt(shape[1])
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def _with_gradient(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output.requires_grad_() if torch.is_grad_enabled() else output


def _adding(adapter: Adapter) -> Any:
    def add(_module: Any, inputs: tuple[torch.Tensor, ...], output: Any) -> Any:
        result, bias = output
        return result + adapter(inputs[0]), bias

    return add
