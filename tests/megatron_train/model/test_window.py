"""Attention to the last tokens alone, against its definition."""

from __future__ import annotations

import pytest
import torch

from megatron_train.model.causal import causal


@pytest.mark.parametrize("asked", [11, 7, 1])
@pytest.mark.parametrize("window", [0, 1, 4, 10, 11, 40])
def test_a_token_sees_the_last_tokens_of_its_window(asked, window):
    """The queries are the last ones of 11 positions; two heads share a key."""
    generator = torch.Generator().manual_seed(3)
    draw = [torch.randn(11, 2, heads, 6, generator=generator) for heads in (4, 2, 2)]
    query, key, value = draw[0][11 - asked :], draw[1], draw[2]
    got = causal(query, key, value, window).view(asked, 2, 4, 6)
    for i in range(asked):
        last = 11 - asked + i
        seen = slice(max(0, last - window + 1) if window else 0, last + 1)
        for head in range(4):
            scores = torch.einsum("bd,kbd->kb", query[i, :, head], key[seen, :, head // 2]) / 6**0.5
            wanted = torch.einsum("kb,kbd->bd", scores.softmax(0), value[seen, :, head // 2])
            torch.testing.assert_close(got[i, :, head], wanted)
