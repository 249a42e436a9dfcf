"""Where documents begin, as each attention is told."""

from __future__ import annotations

import torch

from megatron_train.documents import beginnings, block_causal_mask, packed

IDS = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 2]])


def test_a_row_begins_a_document_even_where_the_number_goes_on():
    assert beginnings(IDS).tolist() == [0, 2, 4, 7, 8]
    assert beginnings(torch.zeros(2, 3)).tolist() == [0, 3, 6]


def test_the_packed_form_knows_the_longest_document():
    form = packed(IDS, torch.device("cpu"))
    assert (form.qkv_format, form.max_seqlen_q, form.max_seqlen_kv) == ("thd", 3, 3)
    assert form.cu_seqlens_q.dtype == torch.int32  # Transformer Engine's kernels read no other


def test_the_mask_lets_a_token_see_what_came_before_it_in_its_document():
    seen = ~block_causal_mask(IDS)[:, 0]
    assert seen[0].tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    assert seen[1].tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
