"""What a loss is: a function from the log-probabilities of a batch to sums over its tokens."""

from __future__ import annotations

from collections.abc import Callable

import torch

# One micro-batch of b sequences of s tokens. Required are tokens and labels, int64 [b, s], where
# labels[t] follows tokens[t]. document_ids, int [b, s], is optional: it holds the same number
# within a document, and no token then sees another document. All other entries reach the loss
# function. Under context parallelism, every [b, s] tensor is cut to this process's positions.
#
# A row of groups (shared_prefix.py, b = 1) has prefix_lengths, and response_positions int64 [n, r]:
# the position whose label is token t of response i. Its loss_mask and all that the loss function
# reads are [n, r] or [n], and so are the log-probabilities. No pipelines, no context parallelism.
Batch = dict[str, torch.Tensor]

# (sum of the loss over the counted tokens, how many tokens counted, {name: sum of a metric over the
# same tokens}).
Sums = tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]

# (log-probabilities of the labels, fp32 [b, s] with gradient, batch) -> Sums. It is called on the
# last pipeline stage. Where the batch has a loss_mask [b, s], they are computed only where it is
# not 0, and are 0 elsewhere.
LossFunction = Callable[[torch.Tensor, Batch], Sums]


def language_model_loss(logprobs: torch.Tensor, batch: Batch) -> Sums:
    """-log p summed over batch["loss_mask"] [b, s]: the loss of pretraining and of SFT."""
    mask = batch["loss_mask"].to(logprobs.dtype)
    return -(logprobs * mask).sum(), mask.sum().to(torch.int), {}


def loss_by_source(names: list[str]) -> LossFunction:
    """language_model_loss with the metrics loss/NAME and share/NAME for every source.

    They are the source's part of the mean loss and of the tokens. batch["source"] [b] holds the
    index of each sequence's source in `names`.
    """

    def loss(logprobs: torch.Tensor, batch: Batch) -> Sums:
        total, count, sums = language_model_loss(logprobs, batch)
        mask = batch["loss_mask"].to(logprobs.dtype)
        for source, name in enumerate(names):
            mine = mask * (batch["source"] == source)[:, None]
            sums |= {f"loss/{name}": -(logprobs.detach() * mine).sum(), f"share/{name}": mine.sum()}
        return total, count, sums

    return loss


def means_by_source(metrics: dict[str, float]) -> dict[str, dict[str, float]]:
    """The metrics of a step under loss_by_source -> {source: {loss, share}}.

    Only sources of which the step read a token are there.
    """
    shares = {
        key.removeprefix("share/"): value
        for key, value in metrics.items()
        if key.startswith("share/")
    }
    return {
        name: {"loss": metrics[f"loss/{name}"] / share, "share": share}
        for name, share in shares.items()
        if share > 0
    }
