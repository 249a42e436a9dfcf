"""The live weights -> a Hugging Face folder, from any layout, one tensor at a time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from conf.errors import SeedbedError, disk_faults
from megatron_train.checkpoint.hf_names import to_hf
from megatron_train.checkpoint.hf_side_files import SideFiles
from megatron_train.checkpoint.safetensors_files import write_safetensors
from megatron_train.model import lora, weights
from megatron_train.parallel import processes
from megatron_train.training.state import TrainState
from seedbed.files import fresh_partial, partial_of, replace_folder


def tensors(state: TrainState) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields (Hugging Face name, tensor on the CPU) of the live weights on process 0; collective.

    The other processes take part and yield nothing. The order is the same every time. Adapters are
    merged into the weights.
    """
    for name, full in weights.gather(state.chunks, lora.merged):
        yield from to_hf(name, full, state.model, state.vocab_size)


def export(
    state: TrainState,
    folder: Path,
    tokenizer: Path | None = None,
    watch: Callable[[str, torch.Tensor], None] = lambda name, tensor: None,
    card: str = "",
) -> None:
    """Write the live weights as a Hugging Face folder; collective, process 0 writes.

    `tokenizer` is a folder whose tokenizer files are copied. The result appears, or is replaced,
    whole, so a reader never sees half of it. On process 0, `watch` is called with each tensor.
    card: README.md (hf_side_files.py).
    """
    folder = Path(folder)

    def write(pairs: Iterator[tuple[str, torch.Tensor]]) -> None:
        partial = fresh_partial(folder)
        write_safetensors(partial, _watched(pairs, watch))
        SideFiles(tokenizer, card).write(partial, state.model, state.vocab_size, state.dtype, {})
        replace_folder(partial, folder)

    written_by_main(tensors(state), folder, write)


def written_by_main(
    pairs: Iterator[tuple[str, torch.Tensor]],
    folder: Path,
    write: Callable[[Iterator[tuple[str, torch.Tensor]]], None],
) -> None:
    """`write(pairs)` on process 0, where `pairs` are gathered from all processes; collective.

    Raises:
        SeedbedError: on every process, for what went wrong on process 0, such as a full disk. What
            was written of `folder` is gone then.
    """
    fault: SeedbedError | None = None
    if processes.is_main():
        try:
            with disk_faults(folder):
                write(pairs)
        except SeedbedError as error:
            fault = error
            shutil.rmtree(partial_of(folder), ignore_errors=True)
    # The other processes only take part in the gathering, to its end.
    for _ in pairs:
        pass

    def settle() -> None:
        if fault is not None:
            raise fault

    processes.on_main(settle)


def _watched(
    pairs: Iterator[tuple[str, torch.Tensor]], watch: Callable[[str, torch.Tensor], None]
) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in pairs:
        watch(name, tensor)
        yield name, tensor
