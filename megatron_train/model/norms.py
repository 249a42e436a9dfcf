"""Norms of the layers that are not Transformer Engine's, in each place where a family has them.

megatron-core's own torch norm refuses sequence parallelism.
"""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.parallel_state import get_tensor_model_parallel_group
from megatron.core.tensor_parallel import (
    RowParallelLinear,
    copy_to_tensor_model_parallel_region,
    reduce_from_tensor_model_parallel_region,
    set_tensor_model_parallel_attributes,
)
from megatron.core.transformer.attention import SelfAttention
from megatron.core.transformer.transformer_config import TransformerConfig
from megatron.core.transformer.utils import make_sharded_tensors_for_checkpoint


class RMSNorm(torch.nn.RMSNorm):
    """torch's RMSNorm; megatron-core sums its gradient under sequence parallelism."""

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = 1e-5, **_: Any):
        super().__init__(hidden_size, eps=eps, dtype=config.params_dtype)
        self.weight.sequence_parallel = config.sequence_parallel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # torch has one kernel for it with CUDA, and on a CPU a dozen with as many copies.
        if x.is_cuda:
            return super().forward(x)
        normed: torch.Tensor = _RMSNorm.apply(x, self.weight, self.eps)
        return normed


class _RMSNorm(torch.autograd.Function):
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension, computed in fp32.

    With n = x / rms and g' = gradient * weight, the gradient of x is (g' - n * mean(g' * n)) / rms.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        wide = x.float()
        scale = torch.rsqrt((wide * wide).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, weight, scale)
        return (wide * scale).mul_(weight).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:  # type: ignore[override]
        x, weight, scale = ctx.saved_tensors
        gradient, normed = gradient.float(), x.float() * scale
        of_weight = (gradient * normed).flatten(0, -2).sum(0).to(weight.dtype)
        of_x = gradient * weight
        mean = torch.einsum("...i,...i->...", of_x, normed)[..., None] / x.size(-1)
        of_x = of_x.addcmul_(normed, mean, value=-1).mul_(scale)
        return of_x.to(x.dtype), of_weight, None


class LayerNorm(torch.nn.LayerNorm):
    """torch's LayerNorm; megatron-core sums its gradients under sequence parallelism."""

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = 1e-5, **_: Any):
        super().__init__(hidden_size, eps=eps, dtype=config.params_dtype)
        self.weight.sequence_parallel = config.sequence_parallel
        self.bias.sequence_parallel = config.sequence_parallel


class HeadsNorm(torch.nn.Module):
    """RMSNorm over all heads at once, of which this process holds a part.

    The mean square is that of the heads of all tensor-parallel processes.
    """

    def __init__(self, config: TransformerConfig, heads: int, width: int):
        """heads: of this process. width: of one head."""
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(heads * width, dtype=config.params_dtype))
        set_tensor_model_parallel_attributes(self.weight, True, 0, 1)
        self.eps = config.layernorm_epsilon
        self.processes = config.tensor_model_parallel_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [s, b, heads, width] -> the same shape."""
        rows = x.flatten(-2).float()
        # Every process needs the sum of all in the forward pass, and in the backward pass the sum
        # of all gradients of it.
        squares = copy_to_tensor_model_parallel_region(
            reduce_from_tensor_model_parallel_region(rows.square().sum(-1, keepdim=True))
        )
        mean = squares / (rows.size(-1) * self.processes)
        normed = (rows * torch.rsqrt(mean + self.eps)).to(x.dtype)
        return (normed * self.weight).view_as(x)

    def sharded_state_dict(
        self, prefix: str = "", sharded_offsets: Any = (), metadata: Any = None
    ) -> dict[str, Any]:
        """The weight as entries of a checkpoint, cut along its only axis."""
        return make_sharded_tensors_for_checkpoint(
            self.state_dict(prefix="", keep_vars=True),
            prefix,
            {"weight": 0},
            sharded_offsets,
            # Without it megatron-core takes the part for the whole.
            tp_group=get_tensor_model_parallel_group(),
            dp_cp_group=metadata["dp_cp_group"],
        )


class HeadsNormAttention(SelfAttention):
    """Attention whose query and key are normalised over all heads at once."""

    def __init__(self, config: TransformerConfig, *args: Any, **kwargs: Any):
        super().__init__(config, *args, **kwargs)
        width = self.hidden_size_per_attention_head
        self.q_layernorm = HeadsNorm(config, self.num_attention_heads_per_partition, width)
        self.k_layernorm = HeadsNorm(config, self.num_query_groups_per_partition, width)


class NormedLinear(RowParallelLinear):
    """A row-parallel layer whose output is normalised before the residual is added."""

    def __init__(self, input_size: int, output_size: int, **settings: Any):
        super().__init__(input_size, output_size, **settings)
        config = settings["config"]
        self.post_norm = RMSNorm(config, output_size, config.layernorm_epsilon)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        out, bias = super().forward(x)
        return self.post_norm(out), bias
