"""What each layer of a model adds to the residual stream, under the same name everywhere.

The names are `embedding` and `layer 1` to `layer N`. The values are float32 [tokens, hidden] of one
sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

# Largest |a - b| / |b| of a layer's output, by the arithmetic. It is about 20 times what rounding
# alone caused in our measurements.
TOLERANCE = {"fp32": 1e-3, "bf16": 1e-1}


@contextmanager
def recorded(
    modules: Mapping[str, torch.nn.Module], as_rows: Callable[[Any], Tensor]
) -> Iterator[dict[str, Tensor]]:
    """Inside it, each forward pass leaves the output of every module in the dictionary.

    as_rows: turns a module's output into [tokens, hidden].
    """
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: torch.nn.Module, given: Any, output: Any) -> None:
            found[name] = as_rows(output).detach().float().cpu().clone()

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def llama_modules(model: Any) -> dict[str, torch.nn.Module]:
    """The layers of LlamaForCausalLM by their names, of transformers and of vLLM."""
    return {
        "embedding": model.model.embed_tokens,
        **{f"layer {number}": layer for number, layer in enumerate(model.model.layers, start=1)},
    }


def first_difference(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], tolerance: float
) -> str:
    """The first layer whose outputs differ by more than `tolerance`, with the difference.

    If no layer differs but the log-probabilities do, only the output layer is left.
    """
    for name, expected in theirs.items():
        if name not in ours or ours[name].shape != expected.shape:
            return f"{name} (missing, or of another shape)"
        difference = ((ours[name] - expected).norm() / expected.norm()).item()
        if not difference <= tolerance:
            return f"{name} (relative difference {difference:.1e})"
    return "the output layer (every layer before it agrees)"
