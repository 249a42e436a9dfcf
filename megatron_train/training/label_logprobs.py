"""GPTModel's output hook: hidden states -> log-probabilities of the labels that a loss counts.

The output layer and the softmax over the vocabulary are the dearest part of a small model's step,
and post-training counts responses only. So hidden states are selected before the output layer.
Logits never leave the process that computed their slice of the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from megatron.core import parallel_state, tensor_parallel


@dataclass(frozen=True)
class Wanted:
    """Which log-probabilities the hook computes.

    positions: int64 [n], ascending, in the [s, b] positions laid end to end; None for all.
    """

    vocab_size: int
    temperature: float
    positions: torch.Tensor | None


def counted_positions(mask: torch.Tensor | None) -> torch.Tensor | None:
    """loss_mask [b, s] -> Wanted.positions: where it is not 0; None where that is everywhere.

    They are this process's own under context parallelism. Tensor-parallel processes have the same.
    """
    if mask is None or bool((mask != 0).all()):
        return None
    return (mask != 0).t().flatten().nonzero()[:, 0]


def logprobs_of_labels(
    *,
    hidden_states: torch.Tensor,
    output_layer: Any,
    output_weight: Any,
    labels: torch.Tensor,
    context: Wanted,
    **_: Any,
) -> torch.Tensor:
    """Hidden states [s, b, h] -> log-probabilities of labels, fp32 [b, s].

    They are reduced over the tensor-parallel processes, and 0 where they are not wanted.
    """
    by_position = labels.t()
    if context.positions is None:
        logits, _ = output_layer(hidden_states, weight=output_weight)
        return _reduced(logits, by_position.contiguous(), context).t().contiguous()
    logits = _selected(hidden_states, output_layer, output_weight, context.positions)
    chosen = by_position.flatten()[context.positions]
    found = _reduced(logits, chosen[:, None], context)[:, 0]
    whole = found.new_zeros(by_position.numel()).index_copy(0, context.positions, found)
    return whole.view(by_position.shape).t().contiguous()


def _selected(
    hidden_states: torch.Tensor, output_layer: Any, weight: Any, positions: torch.Tensor
) -> torch.Tensor:
    """Logits [n, 1, padded vocabulary / tp] of the positions."""
    scattered = output_layer.sequence_parallel
    if scattered:
        # The layer would gather the positions of all processes itself. Its own backward pass then
        # sums over the vocabulary, so this gather's backward pass only splits.
        hidden_states = tensor_parallel.gather_from_sequence_parallel_region(
            hidden_states, tensor_parallel_output_grad=False
        )
    chosen = hidden_states.flatten(0, 1).index_select(0, positions)[:, None]
    output_layer.sequence_parallel = False
    try:
        logits, _ = output_layer(chosen, weight=weight)
    finally:
        output_layer.sequence_parallel = scattered
    return logits


def _reduced(logits: torch.Tensor, labels: torch.Tensor, context: Wanted) -> torch.Tensor:
    """Logits [..., padded vocabulary / tp] and labels [...] -> log-probabilities, fp32 [...]."""
    scaled = logits.float()
    if context.temperature != 1.0:
        scaled = scaled / context.temperature
    mine = scaled.size(-1)
    real = context.vocab_size - parallel_state.get_tensor_model_parallel_rank() * mine
    # The rows that pad the vocabulary are no tokens and must get no probability.
    if real < mine:
        scaled[..., max(real, 0) :] = torch.finfo(scaled.dtype).min
    return -tensor_parallel.vocab_parallel_cross_entropy(scaled, labels)
