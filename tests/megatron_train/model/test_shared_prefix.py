"""Attention over a row that holds a prefix once, against a mask; and the positions in it."""

from __future__ import annotations

import pytest
import torch

from megatron_train.model.shared_prefix import attend, positions

# The second group has no prefix and fewer continuations, of which one is empty.
LENGTHS = torch.tensor([[4, 3, 1, 5], [0, 2, 0, 0], [2, 0, 0, 0]])
SIZE = 20


def test_each_continuation_goes_on_from_the_prefix():
    assert positions(LENGTHS, SIZE).tolist() == [
        *(0, 1, 2, 3, 4, 5, 6, 4, 4, 5, 6, 7, 8),
        *(0, 1, 0, 1),
        *(0, 0, 0),
    ]


def may_see(window: int) -> torch.Tensor:
    """bool [SIZE, SIZE], read off the definition."""
    places = positions(LENGTHS, SIZE)
    seen = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    at = 0
    for prefix, *continuations in LENGTHS.tolist():
        shared = list(range(at, at + prefix))
        at += prefix
        sequences = [shared]
        for length in continuations:
            sequences.append([*shared, *range(at, at + length)])
            at += length
        for sequence in sequences:
            for query in sequence:
                for key in sequence:
                    distance = places[query] - places[key]
                    seen[query, key] |= bool(0 <= distance < (window or SIZE))
    return seen


@pytest.mark.parametrize("window", [0, 3])
def test_values_and_gradients_are_those_of_attention_under_a_mask(window):
    generator = torch.Generator().manual_seed(1)
    given = [
        torch.randn(SIZE, 1, heads, 8, generator=generator, requires_grad=True)
        for heads in (4, 2, 2)
    ]
    q, k, v = (t.permute(1, 2, 0, 3) for t in given)
    k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
    used = int(LENGTHS.sum())
    scores = (q @ k.mT / 8**0.5).masked_fill(~may_see(window), -torch.inf)
    expected = (scores[:, :, :used].softmax(-1) @ v).permute(2, 0, 1, 3).flatten(2)
    found = attend(*given, LENGTHS, window)
    torch.testing.assert_close(found[:used], expected)
    assert found[used:].abs().sum() == 0
    upstream = torch.randn(found.shape, generator=generator)
    for ours, theirs in zip(
        torch.autograd.grad(found, given, upstream),
        torch.autograd.grad(expected, given, upstream[:used]),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
