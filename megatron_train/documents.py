"""Documents that share a sequence kept from seeing each other, in the form that each attention takes.

torch's attention is called once a document (model.SDPACoreAttention). Transformer Engine's takes the rows of a micro-batch laid
end to end with the places where documents begin (megatron-core's PackedSeqParams, format thd). Rotary positions are relative, so
they need no reset.
"""

from __future__ import annotations

import torch
from megatron.core.packed_seq_params import PackedSeqParams


def borders(document_ids: torch.Tensor, first: int, stop: int) -> list[list[int]]:
    """document_ids int [b, s], the same number within a document -> for each row, where the documents that have a place in
    first ... stop begin, and `stop`. The first of them may begin before `first`."""
    changes = (document_ids[:, 1:] != document_ids[:, :-1]).cpu()
    found = []
    for row in changes:
        begins = [0, *(row.nonzero()[:, 0] + 1).tolist()]
        last = max(place for place in begins if place <= first)
        found.append([*(place for place in begins if last <= place < stop), stop])
    return found


def beginnings(document_ids: torch.Tensor) -> torch.Tensor:
    """document_ids int [b, s] -> int32 [documents + 1]: where each document begins in the b * s places of the rows laid end to
    end, and b * s. A row's first place begins a document, whatever the row before ended with."""
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    places = begins.flatten().nonzero()[:, 0]
    return torch.cat([places, torch.tensor([document_ids.numel()], device=places.device)]).int()


def packed(document_ids: torch.Tensor, device: torch.device) -> PackedSeqParams:
    """What Transformer Engine's attention needs to know of the rows laid end to end; document_ids [b, s] on the CPU."""
    starts = beginnings(document_ids)
    longest = int(starts.diff().max())
    on_device = starts.to(device)
    return PackedSeqParams(
        qkv_format="thd",
        cu_seqlens_q=on_device,
        cu_seqlens_kv=on_device,
        max_seqlen_q=longest,
        max_seqlen_kv=longest,
    )
