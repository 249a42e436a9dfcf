"""Settings of what GRPO maximizes: how a step's samples become a loss."""

from __future__ import annotations

from dataclasses import dataclass

from conf.errors import SeedbedError
from conf.schema.checks import one_of
from conf.schema.ranges import Amount


@dataclass(frozen=True)
class ObjectiveConfig:
    """How advantages and losses are formed. The defaults are the recipe's, where it says."""

    # What the loss is divided by: all tokens (token, Sec 3.2), the sequence's tokens and then the
    # sequences (sequence), or a constant per sequence, max_response (length-free, Dr. GRPO).
    normalisation: str = "token"
    # Divide advantages by the group's standard deviation. Dr. GRPO (arXiv 2503.20783) does not.
    scale_by_std: bool = True
    # What the clip bounds: the ratio of each token, or one of the sequence (GSPO, arXiv
    # 2507.18071). GSPO clips at about 3e-4 and 4e-4, with normalisation=sequence.
    ratio: str = "token"
    # The weights for what engine and trainer differ by: none, truncate at max_importance (TIS), or
    # mask, which takes the gradient of tokens above it (not in the paper).
    correction: str = "truncate"
    # Weight of the KL penalty to the model that training starts from. The paper has none (Sec 3.2).
    kl_coefficient: Amount = 0.0
    # Schulman's estimators k1, k2 or k3. GRPO's own is k3.
    kl_estimator: str = "k3"

    def check(self, cp: int) -> None:
        """Refuses unknown names, and what context parallelism cuts."""
        one_of("objective.normalisation", self.normalisation, "token", "sequence", "length-free")
        one_of("objective.ratio", self.ratio, "token", "sequence")
        one_of("objective.correction", self.correction, "none", "truncate", "mask")
        one_of("objective.kl_estimator", self.kl_estimator, "k1", "k2", "k3")
        whole = [
            f"objective.{name}={value}"
            for name, value in (("normalisation", self.normalisation), ("ratio", self.ratio))
            if value != "token"
        ]
        if cp != 1 and whole:
            raise SeedbedError(
                f"{whole[0]} with parallel.cp={cp}: it needs whole sequences, "
                "and context parallelism cuts them",
                "set parallel.cp=1, or use token",
            )
