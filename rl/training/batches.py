"""Token sequences -> the micro-batches that megatron_train's step takes, each data-parallel process
its share.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

import torch

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Example:
    """A prompt, its response, and what the loss needs to know of it: numbers of the sequence and of
    each response token.
    """

    prompt: Sequence[int]
    response: Sequence[int]
    per_sequence: dict[str, float]
    per_token: dict[str, Sequence[float]]


def places(size: int, start: int, count: int, seed: int) -> list[int]:
    """Places start ... start + count of the endless order of `size` items: a permutation for each
    pass, drawn from (seed, pass).
    """
    found: list[int] = []
    while len(found) < count:
        epoch, offset = divmod(start + len(found), size)
        permutation = list(range(size))
        Random(f"{seed}:{epoch}").shuffle(permutation)
        found += permutation[offset : offset + count - len(found)]
    return found


def micro_batches(
    examples: Sequence[Example],
    size: int,
    dp_rank: int,
    dp_size: int,
    pad_id: int,
    multiple: int,
    least: int = 0,
) -> list[Batch]:
    """Process dp_rank's share of `examples`, in micro-batches of `size` sequences of one common
    length.

    Each holds tokens, labels int64 [size, s] (labels[t] follows tokens[t]); loss_mask float [size,
    s], 1 where the label is a response token; per_sequence values [size]; per_token values [size,
    s] at the response's labels, 0 elsewhere. s is the longest sequence of all examples, `least` if
    that is more, rounded up to `multiple` (sequence parallelism cuts it). Short shares are filled
    with rows whose loss_mask is 0, so that every process has the same number of micro-batches.
    Example i goes to process i % dp_size.
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


def weighted_places(weights: Sequence[float], start: int, count: int, seed: int) -> list[int]:
    """Draws start ... start + count of an endless series with replacement: item i comes in
    proportion to weights[i], each draw from (seed, its number) alone.
    """
    everything, sums = range(len(weights)), list(accumulate(weights))
    return [
        Random(f"{seed}:draw:{n}").choices(everything, cum_weights=sums)[0]
        for n in range(start, start + count)
    ]


def packed_batches(
    examples: Sequence[Example],
    size: int,
    dp_rank: int,
    dp_size: int,
    pad_id: int,
    length: int,
    multiple: int,
) -> list[Batch]:
    """The examples, several to a row of at most `length` places, in micro-batches of `size` rows;
    tokens, labels, loss_mask as in micro_batches, and document_ids int64 [size, s], by which the
    step keeps a token from seeing another example.

    No token sees another example, so sums of losses are those of the examples alone, to rounding.
    There are as many rows as `length`, a multiple of `multiple`, asks for and as micro-batches and
    processes can share; s is then the least multiple that so many rows can do with, since a place
    without an example costs as much as another. Row i goes to process i % dp_size. No example may
    have more than length + 1 tokens.
    """
    lengths = sorted((_places(example) for example in examples), reverse=True)
    together = size * dp_size
    count = -(-len(_fill(lengths, length)) // together) * together
    widths = range(-(-lengths[0] // multiple) * multiple, length + 1, multiple)
    s = widths[bisect_left(widths, True, key=lambda width: len(_fill(lengths, width)) <= count)]
    in_order = sorted(examples, key=lambda example: -_places(example))
    rows = [[in_order[i] for i in row] for row in _fill(lengths, s)]
    rows += [[]] * (count - len(rows))
    mine = [_packed_row(row, s, pad_id) for row in rows[dp_rank::dp_size]]
    batches = []
    for start in range(0, len(mine), size):
        some = mine[start : start + size]
        batches.append({name: torch.stack([row[name] for row in some]) for name in some[0]})
    return batches


def _places(example: Example) -> int:
    return len(example.prompt) + len(example.response) - 1


def _fill(lengths: Sequence[int], room: int) -> list[list[int]]:
    """First-fit: the numbers of the lengths that share each row of `room` places."""
    rows: list[list[int]] = []
    left: list[int] = []
    for number, length in enumerate(lengths):
        place = next((i for i, free in enumerate(left) if free >= length), len(rows))
        if place == len(rows):
            rows.append([])
            left.append(room)
        rows[place].append(number)
        left[place] -= length
    return rows


def _packed_row(examples: Sequence[Example], length: int, pad_id: int) -> Batch:
    row = {
        "tokens": torch.full((length,), pad_id),
        "labels": torch.full((length,), pad_id),
        "loss_mask": torch.zeros(length),
        "document_ids": torch.full(
            (length,),
            -1,
            # padding is a document too: a token that may attend to nothing has no softmax
        ),
    }
    at = 0
    for number, example in enumerate(examples):
        ids = torch.tensor([*example.prompt, *example.response])
        place = slice(at, at + len(ids) - 1)
        row["tokens"][place], row["labels"][place], row["document_ids"][place] = (
            ids[:-1],
            ids[1:],
            number,
        )
        row["loss_mask"][at + len(example.prompt) - 1 : place.stop] = 1.0
        at = place.stop
    return row


def _row(example: Example, length: int, pad_id: int) -> Batch:
    ids = [*example.prompt, *example.response]
    ids += [pad_id] * (length + 1 - len(ids))
    # the place whose label is the first response token
    first = len(example.prompt) - 1

    def spread(values: Sequence[float]) -> torch.Tensor:
        row = torch.zeros(length)
        row[first : first + len(example.response)] = torch.tensor(values, dtype=torch.float32)
        return row

    row = {
        "tokens": torch.tensor(ids[:-1]),
        "labels": torch.tensor(ids[1:]),
        "loss_mask": spread([1.0] * len(example.response)),
    }
    row |= {
        name: torch.tensor(value, dtype=torch.float32)
        for name, value in example.per_sequence.items()
    }
    return row | {name: spread(values) for name, values in example.per_token.items()}


def _empty(like: Example, length: int, pad_id: int) -> Batch:
    row = _row(like, length, pad_id)
    return {
        name: torch.full_like(value, pad_id)
        if value.dtype == torch.int64
        else torch.zeros_like(value)
        for name, value in row.items()
    }
