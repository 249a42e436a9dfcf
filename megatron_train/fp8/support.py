"""What this device can compute, and refusal of what megatron-core would ignore in silence.

megatron-core accepts `fp8=...` without Transformer Engine and then computes in bf16. It also takes
any importable module named `apex` for NVIDIA's. Both are refused before a model is built.
"""

from __future__ import annotations

import importlib.util

import torch

from conf.errors import SeedbedError
from conf.schema.fp8 import Fp8Config

# First compute capability with the tensor cores of each recipe: Ada and Hopper, Hopper, Blackwell.
# Source: check_fp8_support and its siblings in Transformer Engine's pytorch/quantization.py.
_CAPABILITY = {"delayed": (8, 9), "tensorwise": (8, 9), "blockwise": (9, 0), "mxfp8": (10, 0)}


def have_transformer_engine() -> bool:
    """Whether Transformer Engine can be used.

    Without a GPU it can be imported but not used, so the device is asked first.
    """
    return torch.cuda.is_available() and importlib.util.find_spec("transformer_engine") is not None


def refuse_unusable(fp8: Fp8Config) -> None:
    """Raises SeedbedError for FP8 that this process cannot compute, and for a foreign `apex`."""
    if fp8.on and not fp8.emulate:
        _refuse_without_hardware(fp8)
    if (
        importlib.util.find_spec("apex") is not None
        and importlib.util.find_spec("apex.optimizers") is None
    ):
        raise SeedbedError(
            "the package `apex` in this environment is not NVIDIA apex (it has no "
            "apex.optimizers), and megatron-core would take it for that",
            "pip uninstall apex; NVIDIA apex is optional and built from source (docs/install.md)",
        )


def _refuse_without_hardware(fp8: Fp8Config) -> None:
    asked = f"fp8.format={fp8.format} fp8.recipe={fp8.recipe}"
    if not have_transformer_engine():
        missing = "CUDA device" if not torch.cuda.is_available() else "Transformer Engine"
        raise SeedbedError(
            f"{asked} needs a CUDA device and Transformer Engine; this process has no {missing}, "
            "and megatron-core would silently train in bf16",
            "set fp8.format=none, or fp8.emulate=true to study the numerics, or install the gpu "
            "extra on a machine with FP8 tensor cores",
        )
    have, need = torch.cuda.get_device_capability(), _CAPABILITY[fp8.recipe]
    if have < need:
        raise SeedbedError(
            f"{asked} needs compute capability {need[0]}.{need[1]}; "
            f"{torch.cuda.get_device_name()} has {have[0]}.{have[1]}",
            "choose another fp8.recipe, or fp8.emulate=true to study its numerics",
        )
