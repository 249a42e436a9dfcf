"""A model's tensors in .safetensors files, one file or several, as Hugging Face lays them out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from conf.errors import SeedbedError
from seedbed import json_object

# A model of fewer bytes is one file; a larger one is cut into files of about this size.
SHARD_BYTES = 2 << 30
_AGAIN = "the export is incomplete or damaged: make it again"


class SafetensorsReader:
    """Reads tensors by name from the .safetensors files of a folder, memory-mapped."""

    def __init__(self, folder: Path):
        self.folder = folder
        index = folder / "model.safetensors.index.json"
        single = folder / "model.safetensors"
        if index.is_file():
            self.files = _weight_map(index)
        elif single.is_file():
            with _readable(single), safe_open(single, framework="pt") as opened:
                self.files = dict.fromkeys(opened.keys(), single.name)
        else:
            raise SeedbedError(
                f"{folder} holds no model.safetensors",
                "export the model again, in the safetensors format",
            )

    def __enter__(self) -> SafetensorsReader:
        self.opened: dict[str, Any] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self.opened.clear()

    def __call__(self, name: str) -> torch.Tensor:
        if name not in self.files:
            raise SeedbedError(
                f"{self.folder} has no tensor {name}", "the export is incomplete: make it again"
            )
        file = self.files[name]
        with _readable(self.folder / file):
            if file not in self.opened:
                self.opened[file] = safe_open(self.folder / file, framework="pt")
            return self.opened[file].get_tensor(name)


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor -> file of an index. The files lie beside it."""
    with json_object.shaped(index, "index of tensors", _AGAIN):
        found = dict(json_object.read(index, _AGAIN)["weight_map"])
        for file in found.values():
            if Path(file).name != file:
                raise ValueError(f"{file!r} is no name of a file beside it")
    return found


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turns what safetensors raises for a damaged or missing file into a SeedbedError."""
    try:
        yield
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        raise SeedbedError(
            f"{file} cannot be read: {type(error).__name__}: {str(error)[:200]}", _AGAIN
        ) from error


def write_safetensors(folder: Path, tensors: Iterator[tuple[str, torch.Tensor]]) -> None:
    """Write model.safetensors, or numbered files with an index once SHARD_BYTES is passed.

    At most one file's tensors are in memory.
    """
    shards: list[Path] = []
    names: dict[str, int] = {}
    total = pending_bytes = 0
    pending: dict[str, torch.Tensor] = {}

    def flush() -> None:
        nonlocal pending_bytes
        path = folder / f"shard-{len(shards):05d}"
        save_file(pending, path, metadata={"format": "pt"})
        shards.append(path)
        pending.clear()
        pending_bytes = 0

    for name, tensor in tensors:
        size = tensor.numel() * tensor.element_size()
        if pending and pending_bytes + size > SHARD_BYTES:
            flush()
        # Slices share storage, which safetensors refuses.
        pending[name] = tensor.contiguous().clone()
        names[name] = len(shards)
        pending_bytes += size
        total += size
    flush()
    if len(shards) == 1:
        shards[0].rename(folder / "model.safetensors")
        return
    final = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    for path, target in zip(shards, final, strict=True):
        path.rename(folder / target)
    index = {
        "metadata": {"total_size": total},
        "weight_map": {name: final[i] for name, i in names.items()},
    }
    (folder / "model.safetensors.index.json").write_text(
        json.dumps(index, indent=2, sort_keys=True) + "\n"
    )
