"""Are the tensors of a Hugging Face folder those of its model? Asked before anything is built."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig
from megatron_train.checkpoint.hf_names import expected
from megatron_train.checkpoint.safetensors_files import SafetensorsReader
from megatron_train.checkpoint.tensor_headers import headers

_READABLE = ("F32", "BF16", "F16")
# Older Llama folders hold the frequencies of rotary positions, which config.json gives.
_HARMLESS = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")
_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_OTHER = "give the folder of the model that its config.json describes"


def check_tensors(folder: Path, model: ModelConfig, vocab_size: int) -> None:
    """Compares names, shapes and types of a folder's tensors with those of its config.

    Raises:
        SeedbedError: for the first that is missing, not known, of another shape or of a type that
            is not read.
    """
    found, wanted = headers(folder), expected(model, vocab_size)
    # A tensor of quantised weights comes with scales: its type says more than their names.
    for name, tensor in found.items():
        if tensor.dtype not in _READABLE:
            raise SeedbedError(
                f"{folder}: {name} in {tensor.file} is of type {tensor.dtype}; "
                f"{', '.join(_READABLE)} are read",
                "give the folder of the model in bf16 or fp32, not a quantised one",
            )
    more = [name for name in found if name not in wanted and not _HARMLESS.fullmatch(name)]
    if _HEAD in more and model.tie_embeddings and _same(folder):
        more.remove(_HEAD)
    lacking = [name for name in wanted if name not in found]
    for names, what in ((lacking, "lacks"), (more, "has, unlike its config.json,")):
        if names:
            others = f" and {len(names) - 1} others" if len(names) > 1 else ""
            raise SeedbedError(f"{folder} {what} the tensor {names[0]}{others}", _OTHER)
    for name, shape in wanted.items():
        if found[name].shape != shape:
            raise SeedbedError(
                f"{folder}: {name} has the shape {list(found[name].shape)}; its config.json asks "
                f"for {list(shape)}",
                _OTHER,
            )


def _same(folder: Path) -> bool:
    """Whether the output layer is a copy of the embedding, as some folders store tied ones."""
    with SafetensorsReader(folder) as read:
        return torch.equal(read(_HEAD), read(_EMBEDDING))
