"""Settings of low-rank adapters (LoRA, arXiv 2106.09685)."""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.ranges import AmountAboveNone, CountOrNone

# megatron-core's linear layers: query, key and value; the attention's output; gate and up; down.
LINEAR_LAYERS = ("linear_qkv", "linear_proj", "linear_fc1", "linear_fc2")


@dataclass(frozen=True)
class LoraConfig:
    """Which layers get an adapter. The model's own weights then stay as they are."""

    # Rank of an adapter. 0 trains the model's own weights.
    rank: CountOrNone = 0
    # An adapter's output is scaled by alpha / rank.
    alpha: AmountAboveNone = 16.0
    layers: list[str] = field(default_factory=lambda: list(LINEAR_LAYERS))

    def check(self) -> None:
        """Refuses unknown layers, and none at all."""
        unknown = [name for name in self.layers if name not in LINEAR_LAYERS]
        if unknown or not self.layers:
            raise SeedbedError(
                f"lora.layers={self.layers} must name some of {', '.join(LINEAR_LAYERS)}",
                f"leave out {unknown[0]}" if unknown else "leave lora.layers out for all four",
            )
