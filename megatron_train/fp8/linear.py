"""FP8 emulated in megatron-core's own linear layers, on any device (fp8.emulate=true).

Every linear layer of a transformer layer rounds its input, its weight and its output gradient as
the recipe says (numerics.py). Embedding, output layer, attention and norms stay as they are, as
with Transformer Engine.

There is one difference from Transformer Engine. A delayed recipe's history has one entry for each
optimizer step: the largest amax over its micro-batches and over the tensor- and data-parallel
processes. Transformer Engine has one entry for each micro-batch. So the emulated scales are the
same in every layout and after a resume. As in Transformer Engine, under the other recipes a
tensor-parallel slice of a weight has its own scales.
"""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.tensor_parallel import (
    copy_to_tensor_model_parallel_region,
    gather_from_sequence_parallel_region,
)
from torch import Tensor

from conf.schema.fp8 import Fp8Config
from megatron_train.fp8.numerics import Role, kind, per_tensor_scale, product, round_for_product

ROLES: tuple[Role, ...] = ("input", "weight", "gradient")


class Fp8Linear:
    """Computes x @ weight.T of a linear layer with rounded operands.

    history: amaxes of the last steps, the newest first, fp32 [3, steps]; its rows are ROLES.
    amax: the largest of the step that is under way, fp32 [3].
    scale: of a delayed recipe, fp32 [3].
    """

    def __init__(self, fp8: Fp8Config, device: torch.device):
        self.fp8, self.enabled = fp8, True
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
        """input [s, b, k] and this process's weight [n, k] -> [s, b, n].

        megatron-core's linear layers call it as their `_forward_impl`.
        """
        if sequence_parallel:
            input = gather_from_sequence_parallel_region(
                input, tensor_parallel_output_grad=True, group=tp_group
            )
        elif allreduce_dgrad:
            input = copy_to_tensor_model_parallel_region(input, group=tp_group)
        if not self.enabled:
            return torch.nn.functional.linear(input, weight)
        # An evaluation must leave no trace in the history.
        if torch.is_grad_enabled():
            self._note("input", input)
            self._note("weight", weight)
        return _Fp8Product.apply(input, weight, self)

    def rounded(self, x: Tensor, role: Role, inner: int) -> Any:
        scale = self.scale[ROLES.index(role)] if self.fp8.recipe == "delayed" else None
        return round_for_product(x, role, inner, self.fp8.recipe, self.fp8.format, scale)

    def _note(self, role: Role, x: Tensor) -> None:
        if self.fp8.recipe == "delayed":
            row = ROLES.index(role)
            self.amax[row] = torch.maximum(self.amax[row], x.detach().abs().amax().float())

    def set_history(self, history: Tensor) -> None:
        """Take over a history, and the scales that follow from it.

        A column of zeros is a step that was not taken.
        """
        self.history.copy_(history)
        for row, role in enumerate(ROLES):
            to = kind(self.fp8.format, role)
            self.scale[row] = per_tensor_scale(
                self.history[row].amax(), to, torch.ones_like(self.scale[row])
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
