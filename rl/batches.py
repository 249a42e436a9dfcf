"""Token sequences -> the micro-batches that megatron_train's step takes, each data-parallel process its share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Example:
    """A prompt, its response, and what the loss needs to know of it: numbers of the sequence and of each response token."""

    prompt: Sequence[int]
    response: Sequence[int]
    per_sequence: dict[str, float]
    per_token: dict[str, Sequence[float]]


def places(size: int, start: int, count: int, seed: int) -> list[int]:
    """Places start ... start + count of the endless order of `size` items: a permutation for each pass, drawn from
    (seed, pass)."""
    found: list[int] = []
    while len(found) < count:
        epoch, offset = divmod(start + len(found), size)
        permutation = list(range(size))
        Random(f"{seed}:{epoch}").shuffle(permutation)
        found += permutation[offset : offset + count - len(found)]
    return found


def micro_batches(
    examples: Sequence[Example], size: int, dp_rank: int, dp_size: int, pad_id: int, multiple: int, least: int = 0
) -> list[Batch]:
    """Process dp_rank's share of `examples`, in micro-batches of `size` sequences of one common length.

    Each holds tokens, labels int64 [size, s] (labels[t] follows tokens[t]); loss_mask float [size, s], 1 where the label is a
    response token; per_sequence values [size]; per_token values [size, s] at the response's labels, 0 elsewhere. s is the
    longest sequence of all examples, `least` if that is more, rounded up to `multiple` (sequence parallelism cuts it). Short
    shares are filled with rows whose loss_mask is 0, so that every process has the same number of micro-batches. Example i goes
    to process i % dp_size.
    """
    longest = max(least, max(len(e.prompt) + len(e.response) for e in examples) - 1)
    length = -(-longest // multiple) * multiple
    rounds = -(-len(examples) // (size * dp_size))
    mine = list(examples[dp_rank::dp_size])
    batches = []
    for start in range(0, rounds * size, size):
        rows = [_row(e, length, pad_id) for e in mine[start : start + size]]
        rows += [_empty(examples[0], length, pad_id)] * (size - len(rows))
        batches.append({name: torch.stack([row[name] for row in rows]) for name in rows[0]})
    return batches


def _row(example: Example, length: int, pad_id: int) -> Batch:
    ids = [*example.prompt, *example.response]
    ids += [pad_id] * (length + 1 - len(ids))
    first = len(example.prompt) - 1  # the place whose label is the first response token

    def spread(values: Sequence[float]) -> torch.Tensor:
        row = torch.zeros(length)
        row[first : first + len(example.response)] = torch.tensor(values, dtype=torch.float32)
        return row

    row = {
        "tokens": torch.tensor(ids[:-1]),
        "labels": torch.tensor(ids[1:]),
        "loss_mask": spread([1.0] * len(example.response)),
    }
    row |= {name: torch.tensor(value, dtype=torch.float32) for name, value in example.per_sequence.items()}
    return row | {name: spread(values) for name, values in example.per_token.items()}


def _empty(like: Example, length: int, pad_id: int) -> Batch:
    row = _row(like, length, pad_id)
    return {
        name: torch.full_like(value, pad_id) if value.dtype == torch.int64 else torch.zeros_like(value)
        for name, value in row.items()
    }
