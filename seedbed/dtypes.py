"""Names of floating-point types: ours (fp32, bf16) and those of vLLM and torch."""

from __future__ import annotations

from typing import Any

# Our names, which megatron-core shares -> the names of vLLM and torch.
ENGINE_NAME = {"fp32": "float32", "bf16": "bfloat16"}


def torch_dtype(name: str) -> Any:
    """The torch.dtype of one of our names, or of a name of the engine.

    Raises KeyError for any other name. Settings are checked before.
    """
    # torch takes seconds to import, and this module is read without it, too.
    import torch

    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[ENGINE_NAME.get(name, name)]
