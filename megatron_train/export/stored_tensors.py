"""Single tensors out of a checkpoint, without its model: no process holds more than one of them.

megatron-core stacks the tensors of all layers: decoder.layers.REST has the layers as its first
dimension, and decoder.layers.mlp.experts.experts.REST the experts of a layer as its second. Each
process of the run that wrote the checkpoint has left the boxes that it held. What Adam keeps stands
beside them under other names, and is never read here.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import IO

import torch
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    MetadataIndex,
    TensorStorageMetadata,
)

from conf.errors import SeedbedError

_LAYERS = "decoder.layers."
_EXPERTS = "mlp.experts.experts."
_MODEL = (_LAYERS, "decoder.final_layernorm.", "embedding.", "output_layer.")
_OTHER = "give another step_* folder: this one is damaged"


class StoredTensors:
    """The tensors of the model in one checkpoint folder, by the names of model/weights.py.

    shapes: name -> shape of each whole tensor, in the order of the model.

    Raises:
        SeedbedError: for a folder that is no checkpoint, or that lacks a part of a tensor.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            self._metadata = FileSystemReader(str(folder)).read_metadata()
        except Exception as error:
            # An unpickler raises whatever the bytes make it raise.
            raise SeedbedError(
                f"{folder / '.metadata'} cannot be read: {type(error).__name__}: {error}", _OTHER
            ) from error
        self._entries = {
            name: entry
            for name, entry in self._metadata.state_dict_metadata.items()
            if isinstance(entry, TensorStorageMetadata) and name.startswith(_MODEL)
        }
        self.shapes: dict[str, torch.Size] = {}
        layers = max(
            (e.size[0] for n, e in self._entries.items() if n.startswith(_LAYERS)), default=0
        )
        inner = sorted(name for name in self._entries if name.startswith(_LAYERS))
        before = [name for name in self._entries if name.startswith("embedding.")]
        after = [n for n in self._entries if n not in inner and n not in before]
        self.shapes |= {name: self._entries[name].size for name in sorted(before)}
        for layer in range(layers):
            for name in inner:
                rest, size = name.removeprefix(_LAYERS), self._entries[name].size[1:]
                if not rest.startswith(_EXPERTS):
                    self.shapes[f"{_LAYERS}{layer}.{rest}"] = size
                    continue
                for expert in range(size[0]):
                    own = f"mlp.experts.{expert}.{rest.removeprefix(_EXPERTS)}"
                    self.shapes[f"{_LAYERS}{layer}.{own}"] = size[1:]
        self.shapes |= {name: self._entries[name].size for name in sorted(after)}
        if not self.shapes:
            raise SeedbedError(f"{folder} holds no tensors of a model", _OTHER)

    def dtype(self, name: str) -> torch.dtype:
        return self._entries[_stacked(name)[0]].properties.dtype

    def read(self, name: str) -> torch.Tensor:
        """The whole tensor.

        Raises:
            SeedbedError: where a part of it is missing, or its bytes are not those that were
                written.
        """
        stacked, place = _stacked(name)
        entry = self._entries[stacked]
        whole = torch.empty(self.shapes[name], dtype=entry.properties.dtype)
        filled = 0
        for chunk in entry.chunks:
            offsets, sizes = list(chunk.offsets), list(chunk.sizes)
            inside = [at - first for at, first in zip(place, offsets, strict=False)]
            if not all(0 <= at < size for at, size in zip(inside, sizes, strict=False)):
                continue
            part = self._chunk(stacked, chunk)[tuple(inside)]
            del offsets[: len(place)], sizes[: len(place)]
            box = tuple(slice(at, at + size) for at, size in zip(offsets, sizes, strict=True))
            whole[box] = part
            filled += part.numel()
        if filled != whole.numel():
            raise SeedbedError(
                f"{self.folder} holds {filled:,} of the {whole.numel():,} numbers of {name}", _OTHER
            )
        return whole

    def _chunk(self, name: str, chunk: ChunkStorageMetadata) -> torch.Tensor:
        place = self._metadata.storage_data[MetadataIndex(name, chunk.offsets)]
        file = self.folder / place.relative_path
        try:
            with file.open("rb") as whole:
                view = io.BufferedReader(_Part(whole, place.offset, place.length))
                # torch writes the sums of its parts, and does not look at them when it reads.
                damaged = zipfile.ZipFile(view).testzip()
                if damaged is not None:
                    raise ValueError(f"the bytes of {damaged} have another checksum")
                view.seek(0)
                return torch.load(view, map_location="cpu", weights_only=True)
        except Exception as error:
            # zipfile, torch and the system each have errors of their own.
            raise SeedbedError(
                f"{name} in {file} cannot be read: {type(error).__name__}: {str(error)[:200]}",
                _OTHER,
            ) from error


class _Part(io.RawIOBase):
    """Some bytes of a file as a file of their own."""

    def __init__(self, file: IO[bytes], start: int, length: int):
        self._file, self._start, self._length, self._at = file, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), max(self._length - self._at, 0))
        self._file.seek(self._start + self._at)
        data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _stacked(name: str) -> tuple[str, tuple[int, ...]]:
    """The name that a tensor has in the files, and its place there: of a layer, of an expert."""
    match = re.fullmatch(r"decoder\.layers\.(\d+)\.(?:mlp\.experts\.(\d+)\.)?(.+)", name)
    if match is None:
        return name, ()
    if match[2] is None:
        return f"{_LAYERS}{match[3]}", (int(match[1]),)
    return f"{_LAYERS}{_EXPERTS}{match[3]}", (int(match[1]), int(match[2]))
