"""FP8 arithmetic against values by hand, torch's own FP8 types and a slow, obvious version."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_train.fp8.numerics import (
    kind,
    product,
    round_for_product,
    round_in_blocks,
    round_per_tensor,
)

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2


def back(rounded) -> torch.Tensor:
    return rounded.values * rounded.factor


def test_one_scale_maps_the_largest_value_to_the_largest_of_the_format():
    x = torch.tensor([[1.0, -2.0, 0.5, 0.3]])
    rounded = round_per_tensor(x, E4M3)
    # 0.3 * 224 = 67.2, whose neighbours are 64 and 72
    assert rounded.values.tolist() == [[224.0, -448.0, 112.0, 64.0]]
    assert back(rounded)[0, :3].tolist() == [1.0, -2.0, 0.5]


def test_a_stale_scale_saturates_and_never_overflows():
    rounded = round_per_tensor(torch.tensor([[10.0, -1e30]]), E4M3, torch.tensor(100.0))
    assert rounded.values.tolist() == [[448.0, -448.0]]


@pytest.mark.parametrize("recipe", ["tensorwise", "blockwise", "mxfp8"])
def test_zeros_stay_zeros(recipe):
    zeros = torch.zeros(3, 40)
    assert back(round_for_product(zeros, "input", 1, recipe, "e4m3")).equal(zeros)


def test_gradients_alone_take_e5m2_in_the_hybrid_format():
    assert [kind("hybrid", role) for role in ("input", "weight", "gradient")] == [E4M3, E4M3, E5M2]
    assert kind("e4m3", "gradient") == E4M3


def slow_blocks(x: torch.Tensor, to: torch.dtype, rows: int, columns: int) -> torch.Tensor:
    out = torch.empty_like(x)
    for i in range(0, x.size(0), rows):
        for j in range(0, x.size(1), columns):
            block = x[i : i + rows, j : j + columns]
            amax = float(block.abs().max())
            scale = 2.0 ** math.floor(math.log2(torch.finfo(to).max / amax)) if amax else 1.0
            out[i : i + rows, j : j + columns] = (block * scale).to(to).float() / scale
    return out


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 2**31))
def test_block_scales_are_those_of_the_obvious_loop_even_in_broken_blocks(m, k, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(m, k, generator=generator) * torch.exp(
        4 * torch.randn(m, k, generator=generator)
    )
    for to, rows, columns in ((E4M3, 1, 32), (E5M2, 1, 128), (E4M3, 128, 128)):
        rounded = round_in_blocks(x, to, rows, columns)
        assert rounded.values.equal(slow_blocks(x, to, rows, columns))


def test_blocks_lie_along_the_axis_that_the_product_sums_over():
    x = torch.ones(64, 64)
    # It spoils the scale of all values in its block.
    x[0, 0] = 1e6
    spoilt = {
        inner: back(round_for_product(x, "input", inner, "mxfp8", "e4m3")) != 1 for inner in (0, 1)
    }
    assert spoilt[1][0, 1:32].all()
    assert not spoilt[1][1:, :].any()
    assert spoilt[0][1:32, 0].all()
    assert not spoilt[0][:, 1:].any()


# Relative error of a product of two normal matrices, by recipe. E4M3 keeps 3 bits of mantissa,
# which gives about 2**-4 / sqrt(3) for each.
@pytest.mark.parametrize("recipe", ["tensorwise", "blockwise", "mxfp8"])
def test_a_product_is_off_by_what_three_bits_of_mantissa_cost(recipe):
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(256, 512, generator=generator), torch.randn(128, 512, generator=generator)
    ours = product(
        round_for_product(a, "input", 1, recipe, "e4m3"),
        round_for_product(b, "weight", 1, recipe, "e4m3").T,
    )
    exact = a @ b.T
    assert 0.03 < float((ours - exact).norm() / exact.norm()) < 0.045


def test_what_fp8_holds_exactly_is_multiplied_exactly():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(-8, 9, (16, 64), generator=generator).float() for _ in range(2))
    for recipe in ("blockwise", "mxfp8"):
        rounded = [round_for_product(x, "input", 1, recipe, "e4m3") for x in (a, b)]
        assert product(rounded[0], rounded[1].T).equal(a @ b.T)
