"""Hugging Face safetensors -> the live weights, in any layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from conf.errors import SeedbedError
from megatron_train.checkpoint.hf_config import model_config
from megatron_train.checkpoint.hf_names import from_hf
from megatron_train.checkpoint.hf_tensors import check_tensors
from megatron_train.checkpoint.safetensors_files import SafetensorsReader
from megatron_train.model import weights
from megatron_train.training.state import TrainState


def load_weights(state: TrainState, folder: Path) -> None:
    """Hugging Face safetensors -> the live weights and the optimizer's master weights.

    Each process reads only the tensors that it holds a part of.

    Raises:
        SeedbedError: for a folder of another model, and for a weight that is no number.
    """
    found, vocab_size = model_config(folder, state.model.seq_length)
    # A run may train longer sequences at another base or scaling, and balance experts otherwise.
    free = {name: getattr(state.model, name) for name in ("rope_base", "rope", "init_std")}
    free["experts"] = replace(found.experts, aux_loss=state.model.experts.aux_loss)
    if (replace(found, **free), vocab_size) != (state.model, state.vocab_size):
        raise SeedbedError(
            f"{folder} holds {found} with {vocab_size} tokens; the model in memory is "
            f"{state.model} with {state.vocab_size}",
            "build the state from hf_config.model_config(folder)",
        )
    check_tensors(Path(folder), found, vocab_size)
    with SafetensorsReader(Path(folder)) as stored_in:

        def read(name: str) -> torch.Tensor:
            tensor = stored_in(name)
            if not torch.isfinite(tensor).all():
                raise SeedbedError(
                    f"{folder}: {name} holds values that are not numbers",
                    "fetch the folder again, or give an earlier one of the run that wrote it",
                )
            return tensor

        weights.scatter(state.chunks, lambda name, shape: from_hf(name, shape, state.model, read))
    state.optimizer.reload_model_params()


def stored(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields (name, tensor) of every tensor of a Hugging Face folder, one at a time."""
    with SafetensorsReader(Path(folder)) as read:
        for name in read.files:
            yield name, read(name)
