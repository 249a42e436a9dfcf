"""A .safetensors file written tensor by tensor, so that only one of them is in memory.

The format has the places of all tensors in front (https://github.com/huggingface/safetensors,
README, "Format"): 8 bytes with the length of the header, little-endian; the header, which is JSON
and padded with blanks to a multiple of 8 bytes; the numbers of the tensors, one after the other.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16"}


@dataclass(frozen=True)
class Planned:
    """A tensor that is to be written. source: the megatron tensor that it is cut from."""

    name: str
    shape: tuple[int, ...]
    source: str

    def bytes(self, dtype: torch.dtype) -> int:
        return dtype.itemsize * torch.Size(self.shape).numel()


def cut(tensors: list[Planned], dtype: torch.dtype, shard_bytes: int) -> list[list[Planned]]:
    """The tensors of each file: as many in order as fit in `shard_bytes`, and at least one."""
    shards: list[list[Planned]] = [[]]
    held = 0
    for tensor in tensors:
        size = tensor.bytes(dtype)
        if shards[-1] and held + size > shard_bytes:
            shards.append([])
            held = 0
        shards[-1].append(tensor)
        held += size
    return shards


def file_names(count: int) -> list[str]:
    """What Hugging Face calls the files of a model, by their number."""
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]


def index(shards: list[list[Planned]], dtype: torch.dtype) -> str:
    """The text of model.safetensors.index.json."""
    names = file_names(len(shards))
    total = sum(tensor.bytes(dtype) for shard in shards for tensor in shard)
    where = {t.name: name for name, shard in zip(names, shards, strict=True) for t in shard}
    found = {"metadata": {"total_size": total}, "weight_map": where}
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def write(
    path: Path, planned: list[Planned], dtype: torch.dtype, tensors: Iterator[torch.Tensor]
) -> str:
    """Write one file; returns its SHA-256 in hex. tensors: those of `planned`, in this order."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for tensor in planned:
        end = at + tensor.bytes(dtype)
        header[tensor.name] = {
            "dtype": _NAMES[dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, end],
        }
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    sums = hashlib.sha256()
    with path.open("wb") as file:
        for part in (struct.pack("<Q", len(text)), text):
            sums.update(part)
            file.write(part)
        for expected, found in zip(planned, tensors, strict=True):
            assert tuple(found.shape) == expected.shape, expected.name
            numbers = found.to(dtype).contiguous().view(-1).view(torch.uint8).numpy().data
            sums.update(numbers)
            file.write(numbers)
    return sums.hexdigest()
