"""muP: hyperparameters that were found at a small width, used at a large one."""

from __future__ import annotations

from dataclasses import dataclass

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig
from conf.schema.ranges import CountOrNone


@dataclass(frozen=True)
class MupConfig:
    """The width at which optim.lr and model.init_std were found (training/mup.py has the rules)."""

    # model.hidden of the base model; 0: no muP.
    base_hidden: CountOrNone = 0
    # The head size of the base model. This model must have the same.
    base_head_size: CountOrNone = 0

    def width(self, model: ModelConfig) -> float:
        """How many times the base model's width; 1 without muP."""
        return model.hidden / self.base_hidden if self.base_hidden else 1.0

    def check(self, model: ModelConfig, optimizer: str) -> None:
        if not self.base_hidden and not self.base_head_size:
            return
        if not (self.base_hidden and self.base_head_size):
            raise SeedbedError(
                f"mup.base_hidden={self.base_hidden} and mup.base_head_size={self.base_head_size}: "
                "muP needs both",
                "set both to the base model's, or neither",
            )
        if model.head_size != self.base_head_size:
            raise SeedbedError(
                f"mup.base_head_size={self.base_head_size}, and this model's heads have "
                f"{model.head_size}: attention would need another scale, which the families of "
                "Hugging Face do not have",
                "widen the model by more heads of the same size",
            )
        if model.tie_embeddings:
            raise SeedbedError(
                "model.tie_embeddings=true: under muP the embedding and the output layer have "
                "rates of their own",
                "set model.tie_embeddings=false",
            )
        if optimizer != "adamw":
            raise SeedbedError(
                f"mup with optim.name={optimizer}: its table is Adam's", "set optim.name=adamw"
            )
