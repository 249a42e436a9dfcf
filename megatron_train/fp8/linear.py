"""FP8 emulated in megatron-core's own linear layers, on any device: what fp8.emulate=true trains
with.

Every linear layer of the transformer layers rounds its input, weight and output gradient as the
recipe says (fp8_numerics.py). Embedding, output layer, attention and norms stay as they are, as
with Transformer Engine.

One difference from it: a delayed recipe's history has one entry an optimizer step, the largest amax
of its micro-batches over the tensor- and data-parallel processes, where Transformer Engine has one
a micro-batch. So the scales are the same in every layout and after a resume. As in Transformer
Engine, a tensor-parallel slice of a weight has scales of its own under the other recipes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.tensor_parallel import (
    ColumnParallelLinear,
    RowParallelLinear,
    copy_to_tensor_model_parallel_region,
    gather_from_sequence_parallel_region,
)
from torch import Tensor

from conf.schema.pretrain import Fp8Config
from megatron_train.fp8.numerics import Role, kind, per_tensor_scale, product, round_for_product

ROLES: tuple[Role, ...] = ("input", "weight", "gradient")


class Fp8Linear:
    """What a linear layer computes in place of x @ weight.T.

    history: fp32 [3, steps], the newest first, of ROLES.
    """

    def __init__(self, fp8: Fp8Config, layer: int, device: torch.device):
        self.fp8, self.layer, self.enabled = fp8, layer, True
        self.history = torch.zeros(len(ROLES), fp8.history, device=device)
        self.amax = torch.zeros(len(ROLES), device=device)
        self.scale = torch.ones(len(ROLES), device=device)

    def __call__(
        self,
        input: Tensor,
        weight: Tensor,
        *,
        allreduce_dgrad: bool,
        sequence_parallel: bool,
        tp_group: Any,
        **_: Any,
    ) -> Tensor:
        """input [s, b, k] and this process's weight [n, k] -> [s, b, n]; called by megatron-core as
        `_forward_impl`.
        """
        if sequence_parallel:
            input = gather_from_sequence_parallel_region(
                input, tensor_parallel_output_grad=True, group=tp_group
            )
        elif allreduce_dgrad:
            input = copy_to_tensor_model_parallel_region(input, group=tp_group)
        if not self.enabled:
            return torch.nn.functional.linear(input, weight)
        # an evaluation leaves no trace
        if torch.is_grad_enabled():
            self._note("input", input)
            self._note("weight", weight)
        return _Fp8Product.apply(input, weight, self)

    def rounded(self, x: Tensor, role: Role, inner: int) -> Any:
        scale = self.scale[ROLES.index(role)] if self.fp8.recipe == "delayed" else None
        return round_for_product(x, role, inner, self.fp8.recipe, self.fp8.format, scale)

    def _note(self, role: Role, x: Tensor) -> None:
        if self.fp8.recipe == "delayed":
            place = ROLES.index(role)
            self.amax[place] = torch.maximum(self.amax[place], x.detach().abs().amax().float())

    def set_history(self, history: Tensor) -> None:
        """Take a history over, and the scales that follow from it; a column of zeros is a step that
        was not taken.
        """
        self.history.copy_(history)
        for place, role in enumerate(ROLES):
            to = kind(self.fp8.format, role)
            self.scale[place] = per_tensor_scale(
                self.history[place].amax(), to, torch.ones_like(self.scale[place])
            )


class _Fp8Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, linear: Fp8Linear) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.linear = linear
        y = product(
            linear.rounded(x.flatten(0, -2), "input", 1), linear.rounded(weight, "weight", 1).T
        )
        return y.to(x.dtype).unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        linear, (dy,) = ctx.linear, grads
        linear._note("gradient", dy)
        rows = dy.flatten(0, -2)
        dx = product(linear.rounded(rows, "gradient", 1), linear.rounded(weight, "weight", 0))
        dw = product(
            linear.rounded(rows, "gradient", 0).T, linear.rounded(x.flatten(0, -2), "input", 0)
        )
        return dx.to(x.dtype).unflatten(0, x.shape[:-1]), dw.to(weight.dtype), None


def install(model: torch.nn.Module, fp8: Fp8Config, layers: int) -> None:
    """Give every linear layer of a GPTModel's transformer layers an Fp8Linear, but those of the
    bf16 layers at both ends.
    """
    for layer in model.decoder.layers:  # type: ignore[union-attr]
        number = layer.layer_number - 1
        if fp8.bf16_ends <= number < layers - fp8.bf16_ends:
            for module in layer.modules():
                if isinstance(module, ColumnParallelLinear | RowParallelLinear):
                    module._forward_impl = Fp8Linear(fp8, number, module.weight.device)


def installed(chunks: list[torch.nn.Module]) -> list[Fp8Linear]:
    """The Fp8Linear of this process, by layer, then in the order of the layer's modules."""
    forwards = (
        getattr(module, "_forward_impl", None) for chunk in chunks for module in chunk.modules()
    )
    return [forward for forward in forwards if isinstance(forward, Fp8Linear)]


@torch.no_grad()
def forget_step(chunks: list[torch.nn.Module]) -> None:
    """Drop the amaxes of a step that is not taken."""
    for linear in installed(chunks):
        linear.amax.zero_()


def end_step(chunks: list[torch.nn.Module]) -> None:
    """Put the step's amaxes into the histories of a delayed recipe and scale anew; collective,
    nothing without one.
    """
    linears = [linear for linear in installed(chunks) if linear.fp8.recipe == "delayed"]
    if not linears:
        return
    amaxes = torch.stack([linear.amax for linear in linears])
    dist.all_reduce(
        amaxes, dist.ReduceOp.MAX, group=parallel_state.get_tensor_and_data_parallel_group(True)
    )
    for linear, amax in zip(linears, amaxes, strict=True):
        linear.set_history(torch.cat([amax[:, None], linear.history[:, :-1]], dim=1))
        linear.amax.zero_()
