"""The reference of every parity check: transformers' model, and how differences are measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from seedbed.dtypes import torch_dtype
from seedbed.inference import layer_outputs


class Reference:
    """The model of a Hugging Face folder, computed by transformers. dtype: fp32 or bf16."""

    def __init__(self, folder: Path, dtype: str):
        self._model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch_dtype(dtype), local_files_only=True
        ).eval()

    @torch.no_grad()
    def logprobs(
        self, ids: Sequence[int], temperature: float = 1.0, top_p: float = 1.0
    ) -> list[float]:
        """log p of each token but the first, in the distribution that is sampled from."""
        logits = self._model(torch.tensor([ids])).logits[0, :-1].float() / temperature
        kept = nucleus(torch.log_softmax(logits, -1), top_p)
        return kept.gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()

    @torch.no_grad()
    def layers(self, ids: Sequence[int]) -> dict[str, Tensor]:
        """Output [tokens, hidden] of each layer; seedbed.inference.layer_outputs has the names."""

        def rows(output: Any) -> Tensor:
            return (output[0] if isinstance(output, tuple) else output).reshape(len(ids), -1)

        with layer_outputs.recorded(layer_outputs.llama_modules(self._model), rows) as found:
            self._model(torch.tensor([ids]))
        return found


def nucleus(logprobs: Tensor, top_p: float) -> Tensor:
    """Log-probabilities [..., vocabulary] after top-p sampling (arXiv 1904.09751 Sec 3.1).

    It keeps the fewest most likely tokens that together hold at least top_p, scaled to sum to 1.
    The others get -inf.
    """
    if top_p >= 1:
        return logprobs
    ordered, indices = logprobs.sort(descending=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    left = torch.zeros_like(logprobs, dtype=torch.bool).scatter(-1, indices, before >= top_p)
    return torch.log_softmax(logprobs.masked_fill(left, -torch.inf), -1)


def worst(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> float:
    """The largest difference of two sets of log-probabilities; infinite where one is NaN."""
    pairs = [pair for a, b in zip(ours, theirs, strict=True) for pair in zip(a, b, strict=True)]
    differences = [abs(a - b) for a, b in pairs]
    return max(d if d == d else float("inf") for d in differences)
