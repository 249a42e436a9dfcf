"""Checksums of weights, one per tensor: the trainer's weights against those of the engine.

Both sides round a tensor to the dtype of the engine first. So equal sums mean equal weights, bit
for bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from conf.errors import SeedbedError
from seedbed.dtypes import torch_dtype

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def of_tensor(tensor: Tensor, dtype: torch.dtype) -> str:
    """64 bits of the SHA-256 of the values, row by row, as 16 hex digits.

    -0 counts as 0, because `worker_extension.in_use` gets weights by a product, which gives 0.
    """
    values = (tensor.detach().to(dtype) + 0.0).contiguous().cpu()
    return hashlib.sha256(values.view(-1).view(torch.uint8).numpy()).hexdigest()[:16]


class Sums(dict[str, str]):
    """Name of a tensor -> its sum, filled while tensors are exported (`watch` of the export).

    dtype: fp32 or bf16, or the engine's name of it.
    """

    def __init__(self, dtype: str):
        super().__init__()
        self._dtype = torch_dtype(dtype)

    def add(self, name: str, tensor: Tensor) -> None:
        """Keep the sum of a tensor."""
        self[name] = of_tensor(tensor, self._dtype)


def version(sums: Mapping[str, str]) -> str:
    """16 hex digits that name a whole set of weights."""
    return hashlib.sha256(repr(sorted(sums.items())).encode()).hexdigest()[:16]


def check(ours: Mapping[str, str], theirs: Mapping[str, str]) -> None:
    """Compares the sums of the trainer (ours) with those of the engine (theirs).

    A tied model uses one matrix twice. The trainer names it once, and the engine twice.

    Raises SeedbedError with the first tensor that differs and both its sums.
    """
    expected = dict(ours) if HEAD in ours else {**ours, HEAD: ours[EMBEDDING]}
    wrong = [name for name in expected if theirs.get(name) != expected[name]]
    wrong += [name for name in theirs if name not in expected]
    if wrong:
        name = wrong[0]
        raise SeedbedError(
            f"the engine does not hold the trainer's weights: {len(wrong)} of {len(expected)} "
            f"tensors differ, the first is {name}: trainer {expected.get(name, 'has none')}, "
            f"engine {theirs.get(name, 'has none')}",
            "start the run again; the samples of this engine would come from another policy",
        )
