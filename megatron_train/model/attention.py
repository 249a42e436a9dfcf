"""Causal attention through torch, within documents and over context-parallel processes."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from megatron.core.transformer.transformer_config import TransformerConfig
from megatron.core.transformer.utils import is_layer_window_attention

from megatron_train.model import shared_prefix
from megatron_train.model.causal import causal
from megatron_train.model.packed_sequences import borders
from megatron_train.parallel import context_parallel


class SDPACoreAttention(torch.nn.Module):
    """softmax(q k^T / sqrt(d)) v by torch's scaled_dot_product_attention, causal.

    A token of a layer with a window sees the last tokens alone. Where documents are given, each one
    is a call of its own. The cost is then that of the documents and not of the whole row. Under
    context parallelism, s below is this process's share of the positions
    (context_parallel.chunks_of).
    """

    def __init__(
        self,
        config: TransformerConfig,
        layer_number: int,
        attn_mask_type: Any,
        attention_type: str,
        **_: Any,
    ):
        super().__init__()
        windowed = is_layer_window_attention(
            config.window_size, config.window_attn_skip_freq, layer_number
        )
        # The tokens that a token sees, itself included; 0: all before it.
        self.window = config.window_size[0] + 1 if windowed else 0

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **_: Any,
    ) -> torch.Tensor:
        """query [s, b, heads, d], key and value [s, b, kv_heads, d] -> [s, b, heads * d].

        attention_mask holds the rows' cu_seqlens, or None for one document in each row. Where it
        has two axes, it is the lengths of shared_prefix.attend. megatron-core hands it through
        unchanged.
        """
        if attention_mask is not None and attention_mask.dim() == 2:
            return shared_prefix.attend(query, key, value, attention_mask, self.window)
        if context_parallel.size() == 1:
            return self._attend(query, key, value, 0, attention_mask)
        key, value = context_parallel.gather_keys(key), context_parallel.gather_keys(value)
        length = query.size(0) // 2
        halves = zip(
            query.split(length), context_parallel.chunks_of(context_parallel.rank()), strict=True
        )
        return torch.cat(
            [
                self._attend(half, key, value, chunk * length, attention_mask)
                for half, chunk in halves
            ]
        )

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        first: int,
        cu_seqlens: torch.Tensor | None,
    ) -> torch.Tensor:
        """Queries of positions first to first + s over keys and values of all positions.

        Returns [s, b, heads * d].
        """
        stop = first + query.size(0)
        if cu_seqlens is None:
            return causal(query, key[:stop], value[:stop], self.window)
        each = borders(cu_seqlens, key.size(0), first, stop)
        rows = zip(query.unbind(1), key.unbind(1), value.unbind(1), each, strict=True)
        return torch.stack([torch.cat(_row(*one, first, self.window)) for one in rows], 1)


def _row(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bounds: list[int],
    first: int,
    window: int,
) -> list[torch.Tensor]:
    """One row, [s, heads, d], document by document.

    bounds: where the documents begin, and where the last one ends. The first may begin before the
    queries do.
    """
    asked = [min(end - first, end - begin) for begin, end in itertools.pairwise(bounds)]
    seen = [
        bounds[0],
        *(end - begin for begin, end in itertools.pairwise(bounds)),
        key.size(0) - bounds[-1],
    ]
    # The gradient of `split` is one copy. That of a slice would fill, for each slice, a tensor as
    # large as the whole.
    parts = zip(query.split(asked), key.split(seen)[1:-1], value.split(seen)[1:-1], strict=True)
    return [causal(*(part[:, None] for part in one), window)[:, 0] for one in parts]
