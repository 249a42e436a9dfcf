"""How the frequencies of rotary positions are scaled to longer sequences."""

from __future__ import annotations

import math
from dataclasses import dataclass

from conf.errors import SeedbedError
from conf.schema.checks import one_of
from conf.schema.ranges import Amount, AmountAboveNone, CountOrNone


@dataclass(frozen=True)
class RopeConfig:
    """The scalings that transformers knows by these names (its modeling_rope_utils.py).

    Each leaves alone what it does not name.
    """

    # none; linear (arXiv 2306.15595); dynamic (NTK by length, as is up to original_length); llama3
    # (Llama 3.1's); or yarn (arXiv 2309.00071).
    scaling: str = "none"
    # How many times longer sequences may be.
    factor: AmountAboveNone = 1.0
    # The positions that the model knew before it was scaled. Neither none nor linear needs it.
    original_length: CountOrNone = 0
    # llama3: wavelengths above original_length / low_freq_factor are scaled, those below
    # original_length / high_freq_factor are not. The defaults are Llama 3.1's.
    low_freq_factor: AmountAboveNone = 1.0
    high_freq_factor: AmountAboveNone = 4.0
    # yarn: frequencies of more turns over original_length than beta_fast are not scaled, those of
    # fewer than beta_slow are. The defaults are the paper's.
    beta_fast: AmountAboveNone = 32.0
    beta_slow: AmountAboveNone = 1.0
    # yarn: whether the two borders are rounded to whole dimensions.
    truncate: bool = True
    # yarn: what sines and cosines are multiplied by; 0: 0.1 ln(factor) + 1 (Sec 3.4).
    attention_factor: Amount = 0.0

    @property
    def amplitude(self) -> float:
        """What sines and cosines are multiplied by."""
        if self.scaling != "yarn":
            return 1.0
        return self.attention_factor or 0.1 * math.log(self.factor) + 1.0

    def check(self, seq_length: int) -> None:
        """Raises SeedbedError for numbers with which a scaling means nothing."""
        one_of("model.rope.scaling", self.scaling, "none", "linear", "dynamic", "llama3", "yarn")
        if not 1 <= self.factor < math.inf:
            raise SeedbedError(
                f"model.rope.factor={self.factor} must be a number from 1 on",
                "set it to how many times longer sequences may be",
            )
        if self.scaling == "none" and self.factor != 1:
            raise SeedbedError(
                f"model.rope.factor={self.factor} means nothing with model.rope.scaling=none",
                "set model.rope.scaling=yarn, or leave the factor out",
            )
        if self.scaling in ("dynamic", "llama3", "yarn") and self.original_length < 1:
            raise SeedbedError(
                f"model.rope.original_length={self.original_length} must be at least 1 for "
                f"model.rope.scaling={self.scaling}",
                "set it to the sequence length before the scaling",
            )
        if self.scaling == "dynamic" and seq_length > self.original_length:
            raise SeedbedError(
                "model.rope.scaling=dynamic changes with the length of each sequence beyond "
                f"original_length={self.original_length}: model.seq_length={seq_length}",
                f"use sequences of at most {self.original_length}, or model.rope.scaling=yarn",
            )
        for low, high in (("low_freq_factor", "high_freq_factor"), ("beta_slow", "beta_fast")):
            if not 0 < getattr(self, low) < getattr(self, high) < math.inf:
                raise SeedbedError(
                    f"model.rope.{low}={getattr(self, low)} must be above 0 and below "
                    f"model.rope.{high}={getattr(self, high)}",
                    "leave both out for the defaults",
                )
