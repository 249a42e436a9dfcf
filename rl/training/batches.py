"""Token sequences -> micro-batches for megatron_train's step.

Each data-parallel process takes its share of the sequences.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

import torch

from conf.schema.pretrain import ParallelConfig
from megatron_train.parallel import processes

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Example:
    """A prompt and its response as token ids, with the numbers that the loss needs.

    per_sequence: name -> one number. per_token: name -> one number per response token. sampled:
    for each response token whether the model wrote it; the others, which it was told between two
    answers, count in no loss. Empty where it wrote all.
    """

    prompt: Sequence[int]
    response: Sequence[int]
    per_sequence: dict[str, float]
    per_token: dict[str, Sequence[float]]
    sampled: Sequence[bool] = ()

    @property
    def mask(self) -> list[float]:
        """1 for each response token that trains, else 0."""
        return list(map(float, self.sampled)) or [1.0] * len(self.response)


@dataclass(frozen=True)
class ProcessShare:
    """Which sequences a process takes, and how they are padded.

    Sequence i goes to data-parallel process i % dp_size. Rows are padded with `pad_id` to a length
    that divides by `multiple`, because sequence parallelism cuts them into equal parts.
    """

    dp_rank: int
    dp_size: int
    pad_id: int
    multiple: int

    @classmethod
    def of_this_process(cls, layout: ParallelConfig, pad_id: int) -> ProcessShare:
        """The share of this process; `processes.start` came before."""
        rank, size = processes.dp_rank(), processes.dp_size()
        return cls(rank, size, pad_id, layout.sequence_multiple())

    @classmethod
    def everything(cls, layout: ParallelConfig, pad_id: int) -> ProcessShare:
        """All sequences, for work that every data-parallel process repeats."""
        return cls(0, 1, pad_id, layout.sequence_multiple())

    def padded(self, length: int) -> int:
        """`length` rounded up to `multiple`."""
        return -(-length // self.multiple) * self.multiple


def sample_indices(size: int, start: int, count: int, seed: int) -> list[int]:
    """Indices of samples start ... start + count - 1 of an endless series over `size` items.

    Each pass is a permutation of all items, drawn from (seed, number of the pass).
    """
    found: list[int] = []
    while len(found) < count:
        epoch, offset = divmod(start + len(found), size)
        permutation = list(range(size))
        Random(f"{seed}:{epoch}").shuffle(permutation)
        found += permutation[offset : offset + count - len(found)]
    return found


def weighted_indices(weights: Sequence[float], start: int, count: int, seed: int) -> list[int]:
    """Indices of draws start ... start + count - 1 of an endless series with replacement.

    Item i comes in proportion to weights[i]. A draw depends on (seed, its number) alone.
    """
    everything, sums = range(len(weights)), list(accumulate(weights))
    return [
        Random(f"{seed}:draw:{n}").choices(everything, cum_weights=sums)[0]
        for n in range(start, start + count)
    ]


def micro_batches(
    examples: Sequence[Example], size: int, share: ProcessShare, least: int = 0
) -> list[Batch]:
    """This process's share of `examples`, in micro-batches of `size` sequences of one length.

    Each batch holds, with s positions per row:
        tokens, labels: int64 [size, s]; labels[t] follows tokens[t].
        loss_mask: float [size, s], 1 where the label is a response token that the model wrote.
        the per_sequence values: float [size].
        the per_token values: float [size, s], at the response's labels and 0 elsewhere.

    s is the length of the longest of all examples, or `least` where that is more, rounded up to
    share.multiple. Rows whose loss_mask is 0 fill short shares up, so that every process has the
    same number of micro-batches.
    """
    longest = max(least, max(map(_positions, examples)))
    length = share.padded(longest)
    rounds = -(-len(examples) // (size * share.dp_size))
    mine = list(examples[share.dp_rank :: share.dp_size])
    batches = []
    for start in range(0, rounds * size, size):
        rows = [_row(e, length, share.pad_id) for e in mine[start : start + size]]
        rows += [_empty(examples[0], length, share.pad_id)] * (size - len(rows))
        batches.append({name: torch.stack([row[name] for row in rows]) for name in rows[0]})
    return batches


def step_batches(
    examples: Sequence[Example], size: int, share: ProcessShare, layout: ParallelConfig
) -> list[Batch]:
    """As micro_batches, but with less padding where the layout allows micro-batches of any shape.

    Sequences of like length then stand together, longest first. A micro-batch is as long as its own
    longest sequence, and the last one has no more rows than are left. Pipeline stages exchange
    micro-batches of one shape, so there it is micro_batches itself.
    """
    if layout.pp > 1:
        return micro_batches(examples, size, share)
    in_order = sorted(examples, key=_positions, reverse=True)
    together = size * share.dp_size
    groups = [in_order[i : i + together] for i in range(0, len(in_order), together)]
    return [
        batch
        for group in groups
        for batch in micro_batches(group, -(-len(group) // share.dp_size), share)
    ]


def packed_batches(
    examples: Sequence[Example], size: int, share: ProcessShare, length: int
) -> list[Batch]:
    """The examples, several per row of at most `length` positions, in micro-batches of `size` rows.

    tokens, labels and loss_mask are as in micro_batches. document_ids int64 [size, s] number the
    examples of a row: the step keeps a token from attending to another example. Sums of losses are
    therefore those of the examples alone, up to rounding.

    The number of rows is what `length` (a multiple of share.multiple) asks for, rounded up to what
    micro-batches and processes can share. s is then the least multiple with which that many rows
    suffice, since a position without an example costs as much as any other. Row i goes to process
    i % dp_size. No example may have more than length + 1 tokens.
    """
    lengths = sorted(map(_positions, examples), reverse=True)
    together = size * share.dp_size
    count = -(-len(_first_fit(lengths, length)) // together) * together
    widths = range(share.padded(lengths[0]), length + 1, share.multiple)
    enough = bisect_left(widths, True, key=lambda width: len(_first_fit(lengths, width)) <= count)
    s = widths[enough]
    in_order = sorted(examples, key=lambda example: -_positions(example))
    rows = [[in_order[i] for i in row] for row in _first_fit(lengths, s)]
    rows += [[]] * (count - len(rows))
    mine = [_packed_row(row, s, share.pad_id) for row in rows[share.dp_rank :: share.dp_size]]
    batches = []
    for start in range(0, len(mine), size):
        some = mine[start : start + size]
        batches.append({name: torch.stack([row[name] for row in some]) for name in some[0]})
    return batches


def _positions(example: Example) -> int:
    """Positions that an example takes in a row: one less than its tokens."""
    return len(example.prompt) + len(example.response) - 1


def _first_fit(lengths: Sequence[int], room: int) -> list[list[int]]:
    """First-fit bin packing: for each row of `room` positions, the indices of its lengths."""
    rows: list[list[int]] = []
    left: list[int] = []
    for number, length in enumerate(lengths):
        row = next((i for i, free in enumerate(left) if free >= length), len(rows))
        if row == len(rows):
            rows.append([])
            left.append(room)
        rows[row].append(number)
        left[row] -= length
    return rows


def _packed_row(examples: Sequence[Example], length: int, pad_id: int) -> Batch:
    row = {
        "tokens": torch.full((length,), pad_id),
        "labels": torch.full((length,), pad_id),
        "loss_mask": torch.zeros(length),
        # Padding is a document too: the softmax of a token that may attend to nothing is undefined.
        "document_ids": torch.full((length,), -1),
    }
    at = 0
    for number, example in enumerate(examples):
        ids = torch.tensor([*example.prompt, *example.response])
        span = slice(at, at + len(ids) - 1)
        row["tokens"][span] = ids[:-1]
        row["labels"][span] = ids[1:]
        row["document_ids"][span] = number
        row["loss_mask"][at + len(example.prompt) - 1 : span.stop] = torch.tensor(example.mask)
        at = span.stop
    return row


def _row(example: Example, length: int, pad_id: int) -> Batch:
    ids = [*example.prompt, *example.response]
    ids += [pad_id] * (length + 1 - len(ids))
    # The label at this position is the first response token.
    first = len(example.prompt) - 1

    def spread(values: Sequence[float]) -> torch.Tensor:
        row = torch.zeros(length)
        row[first : first + len(example.response)] = torch.tensor(values, dtype=torch.float32)
        return row

    row = {
        "tokens": torch.tensor(ids[:-1]),
        "labels": torch.tensor(ids[1:]),
        "loss_mask": spread(example.mask),
    }
    row |= {
        name: torch.tensor(value, dtype=torch.float32)
        for name, value in example.per_sequence.items()
    }
    return row | {name: spread(values) for name, values in example.per_token.items()}


def _empty(like: Example, length: int, pad_id: int) -> Batch:
    """A row of the same fields as that of `like` that counts nowhere."""
    row = _row(like, length, pad_id)
    return {
        name: torch.full_like(value, pad_id)
        if value.dtype == torch.int64
        else torch.zeros_like(value)
        for name, value in row.items()
    }
