"""FP8 and fused kernels: refuse what would be ignored in silence.

megatron-core accepts `fp8=...` without Transformer Engine and then computes in bf16; and it takes any importable module named
`apex` for NVIDIA's. Both are refused here, before a model is built.
"""

from __future__ import annotations

import importlib.util

import torch

from conf.errors import SeedbedError


def have_transformer_engine() -> bool:
    """Transformer Engine can be imported without a GPU but not used: the device decides, then the package."""
    return torch.cuda.is_available() and importlib.util.find_spec("transformer_engine") is not None


def refuse_unusable(fp8: str) -> None:
    """Raises SeedbedError for fp8 without CUDA and Transformer Engine, and for a foreign `apex`."""
    if fp8 != "none" and not have_transformer_engine():
        missing = "CUDA device" if not torch.cuda.is_available() else "Transformer Engine"
        raise SeedbedError(
            f"fp8={fp8} needs a CUDA device and Transformer Engine; this process has no {missing}, and megatron-core would "
            "train in bf16 without a word",
            "set fp8=none here, or install the gpu extra on a machine with FP8 tensor cores",
        )
    if importlib.util.find_spec("apex") is not None and importlib.util.find_spec("apex.optimizers") is None:
        raise SeedbedError(
            "the package `apex` in this environment is not NVIDIA apex (it has no apex.optimizers), "
            "and megatron-core would take it for that",
            "pip uninstall apex; NVIDIA apex is optional and built from source (docs/install.md)",
        )
