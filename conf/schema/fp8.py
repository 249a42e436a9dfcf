"""Settings of FP8 training."""

from __future__ import annotations

from dataclasses import dataclass

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig
from conf.schema.ranges import Count, CountOrNone, in_range


@dataclass(frozen=True)
class Fp8Config:
    """FP8 in the linear layers of the transformer layers.

    Recipes and defaults are Transformer Engine's (common/recipe, 2.20).
    """

    # none, e4m3 or hybrid. hybrid uses e5m2 for gradients.
    format: str = "none"
    # delayed, tensorwise, blockwise or mxfp8 (Blackwell only).
    recipe: str = "delayed"
    # The recipe's rounding in fp32 arithmetic, on any device. It serves to study the numerics and
    # is not fast.
    emulate: bool = False
    # A delayed recipe takes its scale from the largest amax of so many steps.
    history: Count = 1024
    # So many first layers and so many last layers stay in bf16.
    bf16_ends: CountOrNone = 0
    # Steps between comparisons of each layer's gradient with bf16's; 0 = never.
    guard_every: CountOrNone = 0

    @property
    def on(self) -> bool:
        return self.format != "none"

    def check(self, model: ModelConfig, dtype: str) -> None:
        """Raises SeedbedError for an unknown recipe, or one that does not fit the model."""
        in_range(self, "fp8.")
        if self.format not in ("none", "e4m3", "hybrid"):
            raise SeedbedError(f"fp8.format={self.format!r} is unknown", "use none, e4m3 or hybrid")
        if self.recipe not in ("delayed", "tensorwise", "blockwise", "mxfp8"):
            raise SeedbedError(
                f"fp8.recipe={self.recipe!r} is unknown",
                "use delayed, tensorwise, blockwise or mxfp8",
            )
        if self.on:
            self._check_fit(model, dtype)
        elif self.emulate or self.guard_every:
            raise SeedbedError(
                "fp8.emulate and fp8.guard_every mean nothing with fp8.format=none",
                "set fp8.format=hybrid",
            )

    def _check_fit(self, model: ModelConfig, dtype: str) -> None:
        if dtype != "bf16":
            raise SeedbedError(
                f"fp8.format={self.format} needs bf16 around the matrix products: dtype={dtype}",
                "set dtype=bf16",
            )
        if 2 * self.bf16_ends >= model.layers:
            raise SeedbedError(
                f"fp8.bf16_ends={self.bf16_ends} at both ends leaves no FP8 layer of "
                f"model.layers={model.layers}: 2 * {self.bf16_ends} >= {model.layers}",
                "lower fp8.bf16_ends, or set fp8.format=none",
            )
        if self.recipe == "delayed" and self.bf16_ends:
            raise SeedbedError(
                "fp8.recipe=delayed takes no bf16 layers (megatron-core refuses them): "
                f"fp8.bf16_ends={self.bf16_ends}",
                "set fp8.recipe=tensorwise or fp8.bf16_ends=0",
            )
