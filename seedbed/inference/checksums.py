"""Checksums of weights, a tensor at a time: what the trainer gave away against what the engine
computes with.

Both sides round a tensor to the engine's dtype first, so that equal sums mean equal weights, bit
for bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from conf.errors import SeedbedError

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
# by the engine's names
DTYPE = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def of_tensor(tensor: Tensor, dtype: torch.dtype) -> str:
    """64 bits of the SHA-256 of the values, row by row, as 16 hex digits.

    -0 counts as 0, which is what a product makes of it.
    """
    values = (tensor.detach().to(dtype) + 0.0).contiguous().cpu()
    return hashlib.sha256(values.view(-1).view(torch.uint8).numpy()).hexdigest()[:16]


class Sums(dict[str, str]):
    """name -> sum, filled as the tensors pass by: hf.export's `watch`."""

    def __init__(self, dtype: str):
        super().__init__()
        self._dtype = DTYPE[dtype]

    def add(self, name: str, tensor: Tensor) -> None:
        self[name] = of_tensor(tensor, self._dtype)


def version(sums: Mapping[str, str]) -> str:
    """One name for a set of weights."""
    return hashlib.sha256(repr(sorted(sums.items())).encode()).hexdigest()[:16]


def check(ours: Mapping[str, str], theirs: Mapping[str, str]) -> None:
    """Raises SeedbedError that names the first tensor of the engine (theirs) that is not the
    trainer's (ours), with both sums.

    A tied model has one matrix for two places: the trainer gives it once, the engine holds it
    twice.
    """
    expected = dict(ours) if HEAD in ours else {**ours, HEAD: ours[EMBEDDING]}
    wrong = [name for name in expected if theirs.get(name) != expected[name]]
    wrong += [name for name in theirs if name not in expected]
    if wrong:
        name = wrong[0]
        raise SeedbedError(
            f"the engine does not hold the trainer's weights: {len(wrong)} of {len(expected)} tensors differ, the first is "
            f"{name}: trainer {expected.get(name, 'has none')}, engine {theirs.get(name, 'has none')}",
            "do not go on with this engine: its samples would come from another policy; start the run again",
        )
