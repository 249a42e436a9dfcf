"""Rotary positions with fewer copies than megatron-core's, and the same bits.

megatron-core 0.19.2 joins the two halves of a head by `cat` twice, forwards and backwards, and
takes the cosines anew for each of a layer's queries and keys. Its fused form needs Transformer
Engine.
"""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.models.common.embeddings import rope_utils


def install() -> None:
    """Let megatron-core's attention rotate by `rotate` in this process; again is nothing."""
    rope_utils._apply_rotary_pos_emb_bshd = rotate


class _Waves:
    """The cosines and sines of the angles that were asked for last.

    All layers of a model ask with one tensor.
    """

    angles: torch.Tensor | None = None
    amplitude = 0.0
    dtype: torch.dtype | None = None
    kept: tuple[torch.Tensor, torch.Tensor]


def rotate(t: torch.Tensor, freqs: torch.Tensor, *_: Any, **named: Any) -> torch.Tensor:
    """t [s, b, heads, d] turned by the angles freqs [s, 1, 1, d], whose halves are equal.

    The amplitude of YaRN is `mscale`. Interleaved pairs, of which we have no family, are not known.
    """
    amplitude = float(named.get("mscale", 1.0))
    unchanged = _Waves.angles is freqs and _Waves.dtype is t.dtype
    if not unchanged or _Waves.amplitude != amplitude:
        _Waves.angles, _Waves.amplitude, _Waves.dtype = freqs, amplitude, t.dtype
        half = freqs[..., : freqs.size(-1) // 2]
        cos, sin = ((wave(half) * amplitude).to(t.dtype) for wave in (torch.cos, torch.sin))
        _Waves.kept = cos, sin
    turned: torch.Tensor = _Rotate.apply(t, *_Waves.kept)
    return turned


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, t: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cos, sin)
        s, b, heads, d = t.shape
        # The attention that comes next wants the positions of a head side by side.
        return _turn(t, cos, sin, t.new_empty(b, heads, s, d).permute(2, 0, 1, 3))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:  # type: ignore[override]
        cos, sin = ctx.saved_tensors
        # The transpose of a rotation turns back.
        return _turn(gradient, cos, -sin, gradient.new_empty(gradient.shape)), None, None


def _turn(t: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    first, second = t.chunk(2, -1)
    of_first, of_second = out.chunk(2, -1)
    # Products are rounded before they are added, as megatron-core's are.
    torch.mul(first, cos, out=of_first).sub_(second * sin)
    torch.mul(second, cos, out=of_second).add_(first * sin)
    return out
