"""Several continuations of one prefix in a row that holds the prefix once.

A row is groups laid end to end, and what is left of it is padding. A group is a prefix and then its
continuations. Each continuation sees the prefix and itself, and its positions go on from the
prefix. So every token has the hidden state that it has in a row of its own, up to rounding.

`lengths`, int64 [groups, 1 + most continuations], on the CPU: each group's prefix, then its
continuations, and 0 where it has fewer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from megatron_train.model.causal import causal


def positions(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """The place of each position of a row in its own sequence, int64 [size]; 0 for padding."""
    found = torch.zeros(size, dtype=torch.int64)
    at = 0
    for prefix, *continuations in lengths.tolist():
        for first, length in ((0, prefix), *((prefix, length) for length in continuations)):
            found[at : at + length] = torch.arange(first, first + length)
            at += length
    return found


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: torch.Tensor,
    window: int,
) -> torch.Tensor:
    """query [s, 1, heads, d], key and value [s, 1, kv_heads, d] -> [s, 1, heads * d].

    A token sees `window` tokens of its own sequence at most, or with 0 all up to itself. Padding
    gets 0.
    """
    each = lengths.tolist()
    sizes = [length for group in each for length in group]
    sizes.append(query.size(0) - sum(sizes))
    # The gradient of `split` is one copy; that of a slice is as large as the row.
    parts = list(zip(*(t[:, 0].split(sizes) for t in (query, key, value)), strict=True))
    found = []
    for number, group in enumerate(each):
        start = number * len(group)
        prefix, *continuations = parts[start : start + len(group)]
        if group[0]:
            found.append(causal(*(part[:, None] for part in prefix), window)[:, 0])
        if any(group[1:]):
            found += _continued(prefix, continuations, window)
    rows = torch.cat(found)
    return F.pad(rows, (0, 0, 0, sizes[-1]))[:, None]


def _continued(
    prefix: tuple[torch.Tensor, ...], continuations: list[tuple[torch.Tensor, ...]], window: int
) -> list[torch.Tensor]:
    """The continuations of a group, [length, heads * d] each, in one call of the kernel.

    They are filled up to one length behind their ends, where no token of theirs looks.
    """
    query, key, value = (pad_sequence(list(each)) for each in zip(*continuations, strict=True))
    key, value = (
        torch.cat([shared[:, None].expand(-1, own.size(1), -1, -1), own])
        for shared, own in zip(prefix[1:], (key, value), strict=True)
    )
    out = causal(query, key, value, window).unbind(1)
    return [one[: own[0].size(0)] for one, own in zip(out, continuations, strict=True)]
