"""The names of floating-point types: ours (fp32, bf16), the engine's (float32, bfloat16), torch's."""

from __future__ import annotations

from typing import Any

# Ours and megatron-core's -> vLLM's and torch's.
ENGINE_NAME = {"fp32": "float32", "bf16": "bfloat16"}


def torch_dtype(name: str) -> Any:
    """The torch.dtype of one of our names or of the engine's.

    Raises:
        KeyError: for any other name; settings are checked before.
    """
    # Settings and sandboxes are read without torch, which takes seconds to import.
    import torch

    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[ENGINE_NAME.get(name, name)]
