"""The parts of a layer that are ours give what torch and megatron-core give."""

from __future__ import annotations

import importlib
import inspect

import pytest
import torch
import torch.nn.functional as F
from megatron.core.models.common.embeddings import rope_utils
from megatron.core.transformer.transformer_config import TransformerConfig

from megatron_train.model import rotation
from megatron_train.model.norms import RMSNorm
from megatron_train.model.swiglu import SwiGLU

DTYPES = (torch.float32, torch.bfloat16)


def values(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(dtype).requires_grad_()


@pytest.fixture
def its_own():
    """megatron-core's rotation, which the process may have replaced by ours."""
    installed = rope_utils._apply_rotary_pos_emb_bshd
    yield importlib.reload(rope_utils)._apply_rotary_pos_emb_bshd
    rope_utils._apply_rotary_pos_emb_bshd = installed


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("amplitude", [1.0, 1.37])
def test_a_rotation_and_its_gradient_are_megatron_cores_bit_for_bit(its_own, dtype, amplitude):
    assert inspect.getmodule(its_own) is rope_utils
    angles = values(9, 1, 1, 6).detach().repeat(1, 1, 1, 2)
    # The queries of a fused projection are no block of memory of their own.
    t = values(9, 2, 5, 40, dtype=dtype)
    for part in (t[..., :12], t[..., 12:24], t[..., 20:32]):
        theirs = its_own(part, angles, mscale=amplitude)
        ours = rotation.rotate(part, angles, mscale=amplitude)
        assert torch.equal(ours, theirs)
        weight = values(*theirs.shape, dtype=dtype, seed=2).detach()
        of_theirs, of_ours = (torch.autograd.grad(o, t, weight)[0] for o in (theirs, ours))
        assert torch.equal(of_ours, of_theirs)


def test_waves_are_taken_anew_for_other_angles_another_amplitude_and_another_type(its_own):
    t = values(4, 1, 1, 2)
    for angle, amplitude, dtype in (
        (0.3, 1.0, torch.float32),
        (0.4, 1.0, torch.float32),
        (0.4, 1.5, torch.float32),
        (0.4, 1.5, torch.bfloat16),
    ):
        angles = torch.full((4, 1, 1, 2), angle)
        turned = rotation.rotate(t.to(dtype), angles, mscale=amplitude)
        assert torch.equal(turned, its_own(t.to(dtype), angles, mscale=amplitude))
    again = torch.full((4, 1, 1, 2), 0.4)
    for amplitude in (1.5, 1.0):
        turned = rotation.rotate(t, again, mscale=amplitude)
        assert torch.equal(turned, its_own(t, again, mscale=amplitude))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_swiglu_and_its_gradient_are_those_of_its_definition_bit_for_bit(dtype):
    x = values(7, 3, 22, dtype=dtype)
    gate, up = x.chunk(2, -1)
    theirs = F.silu(gate) * up
    ours = SwiGLU(TransformerConfig(num_layers=1, hidden_size=4, num_attention_heads=1))(x)
    assert torch.equal(ours, theirs)
    weight = values(7, 3, 11, dtype=dtype, seed=2).detach()
    assert torch.equal(
        torch.autograd.grad(ours, x, weight)[0], torch.autograd.grad(theirs, x, weight)[0]
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rms_norm_is_torchs_and_its_gradients_are_the_same_to_rounding(dtype):
    config = TransformerConfig(
        num_layers=1, hidden_size=24, num_attention_heads=2, params_dtype=dtype
    )
    norm = RMSNorm(config, 24, eps=0.03)
    x, weight = values(5, 3, 24, dtype=dtype), values(24, dtype=dtype, seed=3)
    norm.weight = torch.nn.Parameter(weight.detach())
    ours, theirs = norm(x), F.rms_norm(x, (24,), norm.weight, 0.03)
    assert torch.equal(ours, theirs)
    upstream = values(5, 3, 24, dtype=dtype, seed=2).detach()
    inputs = (x, norm.weight)
    precise = F.rms_norm(x.double(), (24,), norm.weight.double(), 0.03)
    expected = torch.autograd.grad(precise, inputs, upstream.double())
    close = (
        {"rtol": 0.01, "atol": 0.02} if dtype is torch.bfloat16 else {"rtol": 2e-6, "atol": 2e-6}
    )
    for seen, wanted in zip(torch.autograd.grad(ours, inputs, upstream), expected, strict=True):
        torch.testing.assert_close(seen, wanted, **close)
