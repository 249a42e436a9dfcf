"""FP8 as arithmetic: tensors rounded to FP8 and back, and products of them. It keeps no state.

A tensor core multiplies FP8 values exactly and adds in fp32. Rounding the operands and multiplying
in fp32 gives the same result, up to the order of the sums. Recipes and their scales follow
Transformer Engine (common/recipe/__init__.py, 2.20):

    tensorwise  one scale for each tensor: largest / amax (Float8CurrentScaling)
    delayed     one scale for each tensor from the amaxes of earlier steps, 1 before there are any
                (DelayedScaling)
    blockwise   a power of two for each 128 values along the product's inner axis; for weights,
                for each block of 128 x 128 (Float8BlockScaling)
    mxfp8       a power of two for each 32 values along the inner axis
                (MXFP8BlockScaling, OCP MX v1.0)

Block scales lie along the inner axis of each product. So forward and backward pass read differently
rounded tensors, each rounded from the original.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Role = Literal["input", "weight", "gradient"]

# (rows, columns) of a block that shares a scale; the inner axis runs along the columns.
_BLOCKS: dict[str, dict[Role, tuple[int, int]]] = {
    "blockwise": {"input": (1, 128), "weight": (128, 128), "gradient": (1, 128)},
    "mxfp8": {"input": (1, 32), "weight": (1, 32), "gradient": (1, 32)},
}
PER_TENSOR = ("tensorwise", "delayed")


def kind(fp8_format: str, role: Role) -> torch.dtype:
    """e4m3 for all; hybrid takes e5m2, with more range and less precision, for gradients."""
    return (
        torch.float8_e5m2 if fp8_format == "hybrid" and role == "gradient" else torch.float8_e4m3fn
    )


@dataclass(frozen=True)
class Rounded:
    """A matrix as FP8 holds it.

    values: fp32 and exact, with the scales of blocks undone.
    factor: fp32 scalar that undoes the scale of the whole tensor.
    """

    values: Tensor
    factor: Tensor

    @property
    def T(self) -> Rounded:
        return Rounded(self.values.T, self.factor)


def product(a: Rounded, b: Rounded) -> Tensor:
    """a @ b in fp32: [m, k] x [k, n] -> [m, n]."""
    return (a.values @ b.values) * (a.factor * b.factor)


def per_tensor_scale(amax: Tensor, to: torch.dtype, otherwise: Tensor) -> Tensor:
    """largest / amax, fp32; `otherwise` where amax is 0 or either is not finite."""
    scale = torch.finfo(to).max / amax
    return torch.where((amax > 0) & amax.isfinite() & scale.isfinite(), scale, otherwise)


def round_per_tensor(x: Tensor, to: torch.dtype, scale: Tensor | None = None) -> Rounded:
    """x [m, k] with one scale; with None it is computed from x."""
    x = x.float()
    if scale is None:
        scale = per_tensor_scale(x.abs().amax(), to, torch.ones((), device=x.device))
    return Rounded(_cast(x * scale, to), 1 / scale)


def round_in_blocks(x: Tensor, to: torch.dtype, rows: int, columns: int) -> Rounded:
    """x [m, k] with a power-of-two scale for each block of rows x columns.

    The last blocks may be smaller.
    """
    m, k = x.shape
    x = torch.nn.functional.pad(x.float(), (0, -k % columns, 0, -m % rows))
    blocks = x.view(x.size(0) // rows, rows, x.size(1) // columns, columns)
    amax = blocks.abs().amax((1, 3), keepdim=True)
    quotient = per_tensor_scale(amax, to, torch.ones((), device=x.device))
    # The scale is rounded down to a power of two.
    scale = torch.ldexp(torch.ones_like(quotient), torch.frexp(quotient).exponent - 1)
    values = (_cast(blocks * scale, to) / scale).view_as(x)[:m, :k]
    return Rounded(values, torch.ones((), device=x.device))


def round_for_product(
    x: Tensor, role: Role, inner: int, recipe: str, fp8_format: str, scale: Tensor | None = None
) -> Rounded:
    """x [m, k] as the operand of a product that sums over axis `inner`.

    scale: that of a delayed recipe, None for the others.
    """
    to = kind(fp8_format, role)
    if recipe in PER_TENSOR:
        return round_per_tensor(x, to, scale)
    rows, columns = _BLOCKS[recipe][role]
    return (
        round_in_blocks(x, to, rows, columns)
        if inner == 1
        else round_in_blocks(x.T, to, rows, columns).T
    )


def _cast(x: Tensor, to: torch.dtype) -> Tensor:
    """Rounded to FP8, saturating as the hardware's cast does, and back to fp32."""
    largest = torch.finfo(to).max
    return x.clamp(-largest, largest).to(to).float()
