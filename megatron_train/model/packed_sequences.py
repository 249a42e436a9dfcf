"""Documents that share a sequence are kept from seeing each other, in each attention's own form.

Where documents begin is computed once for each micro-batch. torch's attention is called once for
each document (attention.py). Transformer Engine's attention takes the rows of the micro-batch laid
end to end (megatron-core's PackedSeqParams, format thd). Rotary positions are relative, so they
need no reset.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import torch
from megatron.core.packed_seq_params import PackedSeqParams


def cu_seqlens(document_ids: torch.Tensor) -> torch.Tensor:
    """document_ids int [b, s], the same number within a document -> int32 [documents + 1].

    The result is the cumulative sequence lengths that FlashAttention and Transformer Engine call
    cu_seqlens: where each document begins in the rows laid end to end, and b * s at the end. Each
    row begins with a new document, whatever document the row before it ended with.
    """
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    found = begins.flatten().nonzero()[:, 0]
    return torch.cat([found, torch.tensor([document_ids.numel()], device=found.device)]).int()


def borders(cu_seqlens: torch.Tensor, length: int, first: int, stop: int) -> list[list[int]]:
    """For each row of `length` positions: where its documents in [first, stop) begin, and `stop`.

    The first of these documents may begin before `first`.
    """
    begins = cu_seqlens.tolist()
    found = []
    for row in range(0, begins[-1], length):
        mine = begins[bisect_right(begins, row + first) - 1 : bisect_left(begins, row + stop)]
        found.append([*(begin - row for begin in mine), stop])
    return found


def packed(cu_seqlens: torch.Tensor, device: torch.device) -> PackedSeqParams:
    """What Transformer Engine's attention needs to know of rows laid end to end.

    cu_seqlens: those of the rows, on the CPU.
    """
    longest = int(cu_seqlens.diff().max())
    on_device = cu_seqlens.to(device)
    return PackedSeqParams(
        qkv_format="thd",
        cu_seqlens_q=on_device,
        cu_seqlens_kv=on_device,
        max_seqlen_q=longest,
        max_seqlen_kv=longest,
    )
