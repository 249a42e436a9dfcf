"""On a CUDA device: NCCL against the CPU, and FP8 against the tensor cores.

`make test-gpu` runs these tests. On a machine without CUDA all of them are skipped.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from megatron_train.fp8.numerics import product, round_for_product
from tests.megatron_train import tiny
from tests.megatron_train.test_layouts import GOLDEN, assert_close

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
needs_te = pytest.mark.skipif(
    importlib.util.find_spec("transformer_engine") is None,
    reason="needs Transformer Engine (the gpu extra)",
)
# Transformer Engine, once imported, is asked for kernels on the CPU as well, where it has none.
without_te = pytest.mark.skipif(
    importlib.util.find_spec("transformer_engine") is not None,
    reason="the CPU half needs an environment without it",
)
# Dimensions that the FP8 tensor cores and the 128-blocks take.
WIDE = {"layers": 4, "hidden": 256, "ffn": 512, "heads": 4, "kv_heads": 2}
# Losses of steps_worker.py on a CPU. The first are in bf16. The others are of the WIDE model at
# learning rate 1e-3: bf16 with documents that do not see each other, and emulated FP8 (hybrid,
# history 4).
GOLDEN_BF16 = [6.226913, 6.209766, 6.226835, 6.224200]
GOLDEN_BLOCKED = [6.252667, 6.235263, 6.255749, 6.242795]
GOLDEN_FP8 = {
    "tensorwise": [6.242479, 6.300043, 6.307094, 6.267810],
    "delayed": [6.239256, 6.304899, 6.299989, 6.262163],
    "blockwise": [6.240396, 6.298274, 6.305844, 6.259926],
    "mxfp8": [6.240397, 6.298179, 6.307482, 6.258193],
}


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    root = tmp_path_factory.mktemp("gpu")

    def run(gpu: bool = True, **options):
        out = root / f"{len(list(root.glob('*.json')))}.json"
        worker = str(Path(__file__).with_name("steps_worker.py"))
        tiny.launch(1, worker, str(out), json.dumps(options), gpu=gpu, timeout=120)
        return json.loads(out.read_text())

    return run


def test_fp32_losses_on_the_gpu_are_the_golden_ones_of_the_cpu(steps):
    # Transformer Engine's kernels multiply fp32 in TF32.
    tolerance = 1e-2 if importlib.util.find_spec("transformer_engine") else 1e-4
    assert_close(steps(steps=6)["losses"], GOLDEN, tolerance)


def test_bf16_losses_on_the_gpu_are_those_of_the_cpu(steps):
    assert_close(steps(steps=4, dtype="bf16")["losses"], GOLDEN_BF16, 5e-3)


def test_documents_do_not_see_each_other_on_the_gpu_either(steps):
    """Transformer Engine takes rows laid end to end; without it a mask separates documents."""
    seen = steps(steps=4, dtype="bf16", model=WIDE, lr=1e-3, blocked=True, documents=True)
    assert_close(seen["losses"], GOLDEN_BLOCKED, 5e-3)
    company, by_itself = seen["documents"]
    # The tolerance is that of bf16; on a CPU the difference was 4e-3.
    assert company == pytest.approx(by_itself, abs=3e-2)


@without_te
def test_a_checkpoint_of_the_gpu_goes_on_on_the_cpu(steps, tmp_path):
    steps(steps=4, save=str(tmp_path))
    assert_close(steps(gpu=False, steps=2, load=str(tmp_path))["losses"], GOLDEN[4:], 1e-4)


@pytest.mark.parametrize("recipe", GOLDEN_FP8)
def test_emulated_fp8_gives_the_gpu_the_losses_of_the_cpu(steps, recipe):
    fp8 = {"format": "hybrid", "recipe": recipe, "emulate": True, "history": 4}
    losses = steps(steps=4, dtype="bf16", fp8=fp8, model=WIDE, lr=1e-3)["losses"]
    assert_close(losses, GOLDEN_FP8[recipe], 2e-2)


def operands(m: int = 512, n: int = 256, k: int = 1024) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator("cuda").manual_seed(0)
    spread = torch.exp(torch.randn(m, 1, device="cuda", generator=generator))
    return (
        spread * torch.randn(m, k, device="cuda", generator=generator),
        torch.randn(n, k, device="cuda", generator=generator),
    )


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs.float()).norm() / theirs.float().norm())


@pytest.mark.parametrize(("role", "fp8_format"), [("input", "e4m3"), ("gradient", "hybrid")])
def test_one_scale_a_tensor_multiplies_as_torchs_tensor_cores_do(role, fp8_format):
    from megatron_train.fp8.numerics import kind

    a, b = operands()
    left = round_for_product(a, role, 1, "tensorwise", fp8_format)
    right = round_for_product(b, "weight", 1, "tensorwise", fp8_format)
    theirs = torch._scaled_mm(
        left.values.to(kind(fp8_format, role)),
        right.values.to(kind(fp8_format, "weight")).T,
        scale_a=left.factor,
        scale_b=right.factor,
        out_dtype=torch.bfloat16,
    )
    # bf16 rounds the result to a relative 2**-9.
    assert relative(product(left, right.T), theirs) < 4e-3


def test_scales_in_blocks_multiply_as_torchs_tensor_cores_do():
    """1 x 128 against 128 x 128, DeepSeek-V3's and Transformer Engine's blockwise recipe: Hopper's
    own kernel in torch.
    """
    if torch.cuda.get_device_capability() < (9, 0):
        pytest.skip("needs Hopper")
    a, b = operands()
    left = round_for_product(a, "input", 1, "blockwise", "e4m3")
    right = round_for_product(b, "weight", 1, "blockwise", "e4m3")

    def scales(x: torch.Tensor, rows: int) -> torch.Tensor:
        amax = x.abs().view(x.size(0) // rows, rows, x.size(1) // 128, 128).amax((1, 3))
        return torch.exp2(torch.floor(torch.log2(448 / amax)))

    up_a, up_b = scales(a, 1), scales(b, 128)
    qa = (left.values * up_a.repeat_interleave(128, 1)).to(torch.float8_e4m3fn)
    qb = (right.values * up_b.repeat_interleave(128, 0).repeat_interleave(128, 1)).to(
        torch.float8_e4m3fn
    )
    theirs = torch._scaled_mm(
        qa,
        qb.T,
        # The kernel takes it with the rows innermost.
        scale_a=(1 / up_a).T.contiguous().T,
        scale_b=(1 / up_b).T,
        out_dtype=torch.bfloat16,
    )
    assert relative(product(left, right.T), theirs) < 4e-3


@needs_te
@pytest.mark.parametrize("recipe", ["delayed", "tensorwise", "blockwise"])
def test_transformer_engine_trains_as_the_emulation_does(steps, recipe):
    fp8 = {"format": "hybrid" if recipe != "blockwise" else "e4m3", "recipe": recipe, "history": 4}
    options = {"steps": 6, "dtype": "bf16", "model": WIDE, "lr": 1e-3}
    bf16 = steps(**options)["losses"]
    real = steps(**options, fp8=fp8)["losses"]
    assert real != bf16
    assert_close(real, steps(**options, fp8=fp8 | {"emulate": True})["losses"], 2e-2)


@needs_te
def test_a_run_in_real_fp8_goes_on_from_its_checkpoint(steps, tmp_path):
    fp8 = {"format": "hybrid", "recipe": "delayed", "history": 4}
    options = {"dtype": "bf16", "model": WIDE, "fp8": fp8, "lr": 1e-3}
    whole = steps(**options, steps=6)["losses"]
    steps(**options, steps=4, save=str(tmp_path))
    assert_close(steps(**options, steps=2, load=str(tmp_path))["losses"], whole[4:], 5e-3)


@needs_te
def test_the_guard_compares_real_fp8_with_bf16(steps):
    fp8 = {"format": "hybrid", "recipe": "tensorwise"}
    cosines = steps(steps=1, dtype="bf16", model=WIDE, fp8=fp8, guard=True)["cosines"]
    assert all(0.9 < value < 1 for name, value in cosines.items() if name.startswith("layers"))
