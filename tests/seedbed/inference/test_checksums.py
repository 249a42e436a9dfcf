"""Checksums of weights: what they tell apart, and what they say when engine and trainer differ."""

from __future__ import annotations

import pytest
import torch

from conf.errors import SeedbedError
from seedbed.inference import checksums
from seedbed.inference.checksums import EMBEDDING, HEAD, Sums, of_tensor


def test_one_bit_changes_the_sum_and_a_copy_or_a_zeros_sign_does_not():
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    other = weight.clone()
    other[3, 2] = torch.nextafter(other[3, 2], torch.tensor(9.0))
    assert of_tensor(other, torch.float32) != of_tensor(weight, torch.float32)
    assert of_tensor(weight.t().contiguous().t(), torch.float32) == of_tensor(weight, torch.float32)
    assert of_tensor(torch.tensor([-0.0]), torch.float32) == of_tensor(
        torch.tensor([0.0]), torch.float32
    )
    assert of_tensor(weight.t(), torch.float32) != of_tensor(weight, torch.float32)


def test_both_sides_round_to_the_engines_dtype():
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    assert of_tensor(weight, torch.bfloat16) == of_tensor(weight.bfloat16(), torch.bfloat16)
    assert of_tensor(weight, torch.float32) != of_tensor(weight.bfloat16().float(), torch.float32)


def test_a_mismatch_names_the_tensor_and_both_sums():
    ours = {EMBEDDING: "a", "model.norm.weight": "b", HEAD: "c"}
    checksums.check(ours, dict(ours))
    with pytest.raises(
        SeedbedError,
        match=r"1 of 3 tensors differ, the first is model.norm.weight: trainer b, engine z",
    ):
        checksums.check(ours, {**ours, "model.norm.weight": "z"})
    with pytest.raises(SeedbedError, match=r"model.norm.weight: trainer b, engine has none"):
        checksums.check(ours, {EMBEDDING: "a", HEAD: "c"})
    with pytest.raises(SeedbedError, match="more: trainer has none, engine x"):
        checksums.check(ours, {**ours, "more": "x"})


def test_a_tied_output_layer_must_be_the_embedding():
    ours = {EMBEDDING: "new"}
    checksums.check(ours, {EMBEDDING: "new", HEAD: "new"})
    with pytest.raises(SeedbedError, match=r"lm_head.weight: trainer new, engine old"):
        checksums.check(ours, {EMBEDDING: "new", HEAD: "old"})


def test_a_set_of_weights_has_one_name_in_any_order():
    sums = Sums("float32")
    sums.add("a", torch.zeros(2))
    sums.add("b", torch.ones(2))
    assert checksums.version(sums) == checksums.version(dict(reversed(sums.items())))
    assert checksums.version(sums) != checksums.version({"a": sums["a"]})
