"""silu(gate) * up with one gradient buffer.

Autograd would give the two halves a gradient each and join them by a copy of the widest tensor of
the model. The values, and those of the gradient, are the same bits.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.transformer.transformer_config import TransformerConfig


class SwiGLU(torch.nn.Module):
    """The activation of a gated MLP (arXiv 2002.05202)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [.., 2 * ffn], gate before up -> [.., ffn]."""
        gated: torch.Tensor = _SwiGLU.apply(x)
        return gated


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        gate, up = x.chunk(2, -1)
        active = F.silu(gate)
        ctx.save_for_backward(x, active)
        return active * up

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        x, active = ctx.saved_tensors
        gate, up = x.chunk(2, -1)
        whole = torch.empty_like(x)
        of_gate, of_up = whole.chunk(2, -1)
        torch.mul(gradient, active, out=of_up)
        torch.mul(gradient, up, out=of_gate)
        torch.ops.aten.silu_backward.grad_input(of_gate, gate, grad_input=of_gate)
        return whole
