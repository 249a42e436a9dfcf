"""The frequencies of rotary positions under each scaling.

transformers' modeling_rope_utils.py computes the same from the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from conf.schema.layout import ModelConfig
from conf.schema.rope import RopeConfig


def frequencies(model: ModelConfig) -> torch.Tensor:
    """Radians per position of each pair of a head's dimensions, fp32 [head_size / 2]."""
    return _SCALINGS[model.rope.scaling](_plain(model), model.rope, model)


def unscaled(model: ModelConfig) -> torch.Tensor:
    """What turns scaled angles into those without a scaling, fp32 [head_size].

    An angle is a position times a frequency. Where frequencies are large the factor is 1, so what
    it adds to the rounding is small.
    """
    return (_plain(model) / frequencies(model)).repeat(2)


def _plain(model: ModelConfig) -> torch.Tensor:
    dims = torch.arange(0, model.head_size, 2, dtype=torch.float32)
    return 1.0 / (model.rope_base ** (dims / model.head_size))


def _as_they_are(plain: torch.Tensor, rope: RopeConfig, model: ModelConfig) -> torch.Tensor:
    """dynamic is as it was up to original_length, and longer sequences are refused."""
    return plain


def _linear(plain: torch.Tensor, rope: RopeConfig, model: ModelConfig) -> torch.Tensor:
    return plain / rope.factor


def _llama3(plain: torch.Tensor, rope: RopeConfig, model: ModelConfig) -> torch.Tensor:
    """Long waves are divided by the factor, short ones are not, and between them it is smooth."""
    turns = rope.original_length * plain / (2 * math.pi)
    smooth = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    kept = smooth.clamp(0, 1)
    return (1 - kept) * plain / rope.factor + kept * plain


def _yarn(plain: torch.Tensor, rope: RopeConfig, model: ModelConfig) -> torch.Tensor:
    """arXiv 2309.00071 Sec 3.2: a ramp over the dimensions between two numbers of turns."""

    def dimension(turns: float) -> float:
        """The pair that makes so many turns over the original length."""
        waves = rope.original_length / (turns * 2 * math.pi)
        return model.head_size * math.log(waves) / (2 * math.log(model.rope_base))

    low, high = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, model.head_size - 1)
    # Two borders in one place would divide by 0. The width is transformers'.
    width = high - low if high != low else 0.001
    scaled = ((torch.arange(len(plain), dtype=torch.float32) - low) / width).clamp(0, 1)
    return plain / rope.factor * scaled + plain * (1 - scaled)


_SCALINGS: dict[str, Callable[[torch.Tensor, RopeConfig, ModelConfig], torch.Tensor]] = {
    "none": _as_they_are,
    "linear": _linear,
    "dynamic": _as_they_are,
    "llama3": _llama3,
    "yarn": _yarn,
}
