"""What an optimizer step changes, what it was built from, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from megatron.core.optimizer import MegatronOptimizer
from megatron.core.transformer.transformer_config import TransformerConfig

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig, ParallelConfig
from conf.schema.lora import LoraConfig
from conf.schema.pretrain import OptimConfig
from megatron_train.fp8.policy import NoFp8


@dataclass
class Reduction:
    """When this process began to reduce the gradients of its last step.

    It tells a slow process from those that wait for it.
    """

    # Wait for the GPU before looking at the clock.
    exact: bool = False
    # In seconds of time.perf_counter.
    began: float = 0.0


@dataclass
class TrainState:
    """What a step changes, and what it was built from."""

    model: ModelConfig
    # The tokenizer's size. The embedding is padded beyond it.
    vocab_size: int
    layout: ParallelConfig
    optim: OptimConfig
    dtype: str
    seed: int
    fp8: NoFp8
    config: TransformerConfig
    # This process's part of the model: one module, or several under an interleaved pipeline.
    chunks: list[torch.nn.Module]
    optimizer: MegatronOptimizer
    # None where the model's own weights learn.
    lora: LoraConfig | None = None
    # How many times muP's base width the model has; 1 without muP.
    width: float = 1.0
    # Optimizer steps taken.
    step: int = 0
    reduction: Reduction = field(default_factory=Reduction)


class BadStep(SeedbedError):
    """A step that was refused before it changed a weight, on every process alike."""

    def __init__(self, what: str, value: float, step: int, is_spike: bool = False):
        super().__init__(
            f"the {what} at step {step + 1} is {value}",
            "lower optim.lr or lengthen schedule.warmup_steps, then start again: "
            "it resumes from the last checkpoint",
        )
        self.value = value
        self.is_spike = is_spike


@dataclass(frozen=True)
class StepResult:
    """Means over the counted tokens of the whole step; the same on every process."""

    loss: float
    tokens: int
    grad_norm: float
    metrics: dict[str, float]
