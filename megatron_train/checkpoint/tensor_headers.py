"""What the .safetensors files of a folder say that they hold, without reading a tensor.

A file begins with 8 bytes, the length of its header in little endian, and the header, which is
JSON: name -> dtype, shape and place (huggingface/safetensors, README).
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

from conf.errors import SeedbedError
from seedbed import json_object

_AGAIN = "the folder is incomplete or damaged: fetch it or export it again"
_LFS = b"version https://git-lfs.github.com/"


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as a file's header has it."""

    file: str
    dtype: str
    shape: tuple[int, ...]


def weight_files(folder: Path) -> dict[str, str | None]:
    """File -> the index that names it, or None for a folder of one file.

    Raises:
        SeedbedError: for a folder without such files, and for an index that is none.
    """
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.is_file():
        with json_object.shaped(index, "index of tensors", _AGAIN):
            files = dict(json_object.read(index, _AGAIN)["weight_map"]).values()
            for file in files:
                if Path(file).name != file:
                    raise ValueError(f"{file!r} is no name of a file beside it")
            return dict.fromkeys(files, index.name)
    if single.is_file():
        return {single.name: None}
    parts = sorted(path.name for path in folder.glob("model-*.safetensors"))
    others = sorted(path.name for path in (*folder.glob("*.bin"), *folder.glob("*.gguf")))
    if parts:
        raise SeedbedError(f"{folder} holds {parts[0]} and no {index.name}", _AGAIN)
    raise SeedbedError(
        f"{folder} holds no model.safetensors" + (f", but {others[0]}" if others else ""),
        "save the model again, in the safetensors format",
    )


def headers(folder: Path) -> dict[str, StoredTensor]:
    """Name -> what the folder's files hold under it.

    Raises:
        SeedbedError: for a file that is missing, cut off or a pointer of git-lfs, and where the
            index and the files do not name the same tensors.
    """
    found: dict[str, StoredTensor] = {}
    for file, index in weight_files(folder).items():
        path = folder / file
        if not path.is_file():
            raise SeedbedError(f"{folder} lacks {file}, which {index} names", _AGAIN)
        found |= _header(path)
    return found


def _header(path: Path) -> dict[str, StoredTensor]:
    size = path.stat().st_size
    with path.open("rb") as opened:
        first = opened.read(len(_LFS))
        if first == _LFS:
            raise SeedbedError(
                f"{path} is a pointer of git-lfs and not the file itself", "run: git lfs pull"
            )
        opened.seek(0)
        prefix = opened.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
        if 8 + length > size:
            raise SeedbedError(f"{path} is cut off: its header does not fit {size} bytes", _AGAIN)
        text = opened.read(length)
    with json_object.shaped(path, "file of tensors", _AGAIN):
        entries = json.loads(text)
        entries.pop("__metadata__", None)
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
        if 8 + length + end > size:
            raise SeedbedError(
                f"{path} is cut off: its tensors need {8 + length + end} bytes, it has {size}",
                _AGAIN,
            )
        return {
            name: StoredTensor(path.name, str(entry["dtype"]), tuple(map(int, entry["shape"])))
            for name, entry in entries.items()
        }
