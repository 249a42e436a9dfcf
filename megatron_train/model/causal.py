"""Causal attention of one document or of several of one length, by torch's kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def causal(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int
) -> torch.Tensor:
    """query [q, b, heads, d], key and value [k, b, kv_heads, d] -> [q, b, heads * d].

    The queries are the last q of the k positions. Each sees `window` keys at most, or with 0 all.
    """
    q, k, v = (t.permute(1, 2, 0, 3) for t in (query, key, value))
    if not q.is_cuda:
        # torch's kernel for CPUs is faster by more than the copies where a head's rows lie close.
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    asked, seen = query.size(0), key.size(0)
    mask = None
    # torch's own causal mask would take the queries for the first positions.
    if asked < seen or 0 < window < seen:
        mask = torch.ones(asked, seen, dtype=torch.bool, device=query.device).tril(seen - asked)
    if mask is not None and 0 < window < seen:
        mask = mask.triu(seen - asked - window + 1)
    out = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=q.size(1) != k.size(1)
    )
    return out.permute(2, 0, 1, 3).flatten(2)
