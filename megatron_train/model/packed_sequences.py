"""Documents that share a sequence kept from seeing each other, in the form that each attention
takes.

Where documents begin is found once a micro-batch. torch's attention is called once a document
(model.SDPACoreAttention), Transformer Engine's with the rows of the micro-batch laid end to end
(megatron-core's PackedSeqParams, format thd). Rotary positions are relative, so they need no reset.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import torch
from megatron.core.packed_seq_params import PackedSeqParams


def beginnings(document_ids: torch.Tensor) -> torch.Tensor:
    """document_ids int [b, s], the same number within a document -> int32 [documents + 1]: where
    each document begins in the b * s places of the rows laid end to end, and b * s. A row's first
    place begins a document, whatever the row before it ended with.
    """
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    places = begins.flatten().nonzero()[:, 0]
    return torch.cat([places, torch.tensor([document_ids.numel()], device=places.device)]).int()


def borders(starts: torch.Tensor, length: int, first: int, stop: int) -> list[list[int]]:
    """`beginnings` of rows of `length` places -> for each row, where the documents that have a
    place in first ... stop begin, and `stop`. The first of them may begin before `first`.
    """
    places = starts.tolist()
    found = []
    for row in range(0, places[-1], length):
        mine = places[bisect_right(places, row + first) - 1 : bisect_left(places, row + stop)]
        found.append([*(place - row for place in mine), stop])
    return found


def packed(starts: torch.Tensor, device: torch.device) -> PackedSeqParams:
    """What Transformer Engine's attention needs to know of the rows laid end to end; starts: their
    `beginnings`, on the CPU.
    """
    longest = int(starts.diff().max())
    on_device = starts.to(device)
    return PackedSeqParams(
        qkv_format="thd",
        cu_seqlens_q=on_device,
        cu_seqlens_kv=on_device,
        max_seqlen_q=longest,
        max_seqlen_kv=longest,
    )
