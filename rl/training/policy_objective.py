"""GRPO's loss of a step, put together from the settings and the functions in objective.py."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from conf.schema.rl import GrpoConfig
from megatron_train.training.losses import Batch
from rl.training.objective import (
    ClipRange,
    LossOptions,
    LossSums,
    clipped_policy_loss,
    kl_penalty,
    masked_importance_weights,
    mean_weights,
    truncated_importance_weights,
)


@dataclass(frozen=True)
class PolicyObjective:
    """The loss of micro-batches that hold, besides what micro_batches gives:

    advantage: [b].
    engine_logprobs: [b, s], of the engine that sampled the tokens.
    old_logprobs: [b, s], of the trainer before the first update of the step. Where it is missing,
        the step has one update, and the present log-probabilities are those.
    reference_logprobs: [b, s], where the settings ask for a KL penalty.
    """

    cfg: GrpoConfig
    # Tokens that the model may sample at most in a response of this stage.
    longest: int

    def loss(self, logprobs: Tensor, batch: Batch) -> LossSums:
        """clipped_policy_loss with the settings' options.

        Further sums: gap (|old log-probability - the engine's|), weight (the importance weight)
        and, with a KL penalty, kl.
        """
        cfg, how, mask = self.cfg, self.cfg.objective, batch["loss_mask"]
        old, engine = batch.get("old_logprobs", logprobs.detach()), batch["engine_logprobs"]
        means, _ = mean_weights(mask, how.normalisation)
        gap = torch.where(mask > 0, old - engine, torch.zeros_like(engine)).abs()
        told = {"gap": (gap * means).sum()}
        # The ratio says how far the policy has moved, in the trainer's own numbers. How far engine
        # and trainer differ, by rounding or by a step of lag, is in these weights.
        weights = None
        if how.correction != "none":
            correct = {"truncate": truncated_importance_weights, "mask": masked_importance_weights}
            weights = correct[how.correction](old, engine, mask, cfg.max_importance)
            told["weight"] = (weights * means).sum()
        penalty = None
        if how.kl_coefficient:
            kl = kl_penalty(logprobs, batch["reference_logprobs"], mask, how.kl_estimator)
            told["kl"] = (kl.detach() * means).sum()
            penalty = how.kl_coefficient * kl
        options = LossOptions(weights, penalty, how.ratio, how.normalisation, self.longest)
        clip = ClipRange(cfg.clip_low, cfg.clip_high)
        total, count, sums = clipped_policy_loss(
            logprobs, old, batch["advantage"], mask, clip, options
        )
        return total, count, {**sums, **told}
