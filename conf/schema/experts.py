"""Settings of layers whose MLP is a number of experts, of which each token takes a few."""

from __future__ import annotations

from dataclasses import dataclass

from conf.errors import SeedbedError
from conf.schema.ranges import Amount, Count, FewOrNone, in_range


@dataclass(frozen=True)
class ExpertsConfig:
    """The experts of every layer. Each is a gated MLP of the width model.ffn.

    A router, one matrix without bias, gives each token a softmax over all experts. The token takes
    the top_k largest, and its output is theirs, weighted by these probabilities.
    """

    # Experts of a layer; 0: one MLP for all tokens.
    number: FewOrNone = 0
    # Experts that a token takes.
    top_k: Count = 2
    # The weights of the top_k experts are divided by their sum.
    normalize: bool = True
    # Factor of the load-balancing loss (Switch Transformer, arXiv 2101.03961 eq. 4), which is added
    # to the gradient and not to the loss that is told. 0: none.
    aux_loss: Amount = 0.001

    def check(self, family: str, needs_experts: bool) -> None:
        """Raises SeedbedError for numbers that mean nothing, or not in this family."""
        in_range(self, "model.experts.")
        if needs_experts != (self.number > 0):
            raise SeedbedError(
                f"model.experts.number={self.number} does not fit model.family={family}, which has "
                + ("experts" if needs_experts else "none"),
                "set model.experts.number to 2 or more"
                if needs_experts
                else "set model.experts.number=0, or model.family=mixtral",
            )
        if self.number and self.top_k > self.number:
            raise SeedbedError(
                f"model.experts.top_k={self.top_k} is above model.experts.number={self.number}",
                "a token takes no expert twice: lower model.experts.top_k",
            )
        if self.number and self.normalize and self.top_k == 1:
            raise SeedbedError(
                "model.experts.top_k=1 with model.experts.normalize=true gives every expert the "
                "weight 1, and the router learns nothing",
                "set model.experts.normalize=false, or top_k to 2 or more",
            )
        if family == "mixtral" and not self.normalize:
            raise SeedbedError(
                "model.experts.normalize=false is not what a Mixtral computes",
                "set model.experts.normalize=true, or model.family=qwen3_moe",
            )
