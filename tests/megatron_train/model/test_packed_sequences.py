"""Where documents begin, in the form that each attention takes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from megatron_train.model.attention import SDPACoreAttention
from megatron_train.model.packed_sequences import borders, cu_seqlens, packed

IDS = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 2]])


def test_a_row_begins_a_document_even_where_the_number_goes_on():
    assert cu_seqlens(IDS).tolist() == [0, 2, 4, 7, 8]
    assert cu_seqlens(torch.zeros(2, 3)).tolist() == [0, 3, 6]


def test_the_packed_form_knows_the_longest_document():
    form = packed(cu_seqlens(IDS), torch.device("cpu"))
    assert (form.qkv_format, form.max_seqlen_q, form.max_seqlen_kv) == ("thd", 3, 3)
    # Transformer Engine's kernels read no other type.
    assert form.cu_seqlens_q.dtype == torch.int32


def test_borders_of_a_part_begin_with_the_document_that_its_first_position_is_in():
    starts = cu_seqlens(IDS)
    assert borders(starts, 4, 0, 4) == [[0, 2, 4], [0, 3, 4]]
    assert borders(starts, 4, 1, 3) == [[0, 2, 3], [0, 3]]
    assert borders(starts, 4, 2, 4) == [[2, 4], [0, 3, 4]]


@pytest.mark.parametrize(("first", "stop"), [(0, 24), (6, 12), (12, 18), (18, 24)])
def test_attention_a_document_at_a_time_is_attention_under_a_mask(first, stop):
    """Values and gradients agree, also for the positions of one context-parallel process."""
    generator = torch.Generator().manual_seed(1)
    ids = (torch.rand(3, 24, generator=generator) < 1 / 5).cumsum(1)
    given = [
        torch.randn(24, 3, heads, 8, generator=generator, requires_grad=True) for heads in (4, 2, 2)
    ]
    may = (ids[:, None, :, None] == ids[:, None, None, :]) & torch.ones(
        24, 24, dtype=torch.bool
    ).tril()
    q, k, v = (t.permute(1, 2, 0, 3) for t in given)
    q, k, v = q[:, :, first:stop], k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
    weights = (q @ k.mT / 8**0.5).masked_fill(~may[:, :, first:stop], -torch.inf).softmax(-1)
    expected = (weights @ v).permute(2, 0, 1, 3).flatten(2)
    attention = SimpleNamespace(window=0)
    found = SDPACoreAttention._attend(
        attention, given[0][first:stop], *given[1:], first, cu_seqlens(ids)
    )
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(found.shape, generator=generator)
    for ours, theirs in zip(
        torch.autograd.grad(found, given, upstream),
        torch.autograd.grad(expected, given, upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
