"""The state that SFT, DPO and GRPO train, with adapters where the settings ask for them."""

from __future__ import annotations

from conf.schema.layout import ModelConfig
from conf.schema.pretrain import PretrainConfig
from conf.schema.rl import DpoConfig, GrpoConfig, SftConfig
from megatron_train.training.step import TrainState, build_from


def build_policy(
    cfg: SftConfig | DpoConfig | GrpoConfig, model: ModelConfig, vocab_size: int
) -> TrainState:
    """A state of `model` in the layout of the settings; `processes.start` comes before it.

    Raises:
        SeedbedError: where the model cannot be cut as asked.
    """
    pretrain = PretrainConfig(
        model=model, parallel=cfg.parallel, optim=cfg.optim, dtype=cfg.dtype, seed=cfg.seed
    )
    return build_from(pretrain, vocab_size, cfg.lora)
