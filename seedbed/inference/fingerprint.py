"""Which model a folder holds, by its files.

Two runs have the same name exactly when their answers may be mixed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from conf.errors import SeedbedError


def identity(folder: str) -> str:
    """12 hex digits of a SHA-256 over the config and all bytes of the weights.

    Two models may differ in the last layer alone, so all bytes count. A gigabyte takes about a
    second.

    Raises SeedbedError where the folder has no config.json.
    """
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise SeedbedError(
            f"model folder {folder!r} holds no config.json", "give a local Hugging Face folder"
        )
    digest = hashlib.sha256((path / "config.json").read_bytes())
    for file in sorted(path.glob("*.safetensors")):
        with open(file, "rb") as stream:
            digest.update(
                f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()} ".encode()
            )
    return digest.hexdigest()[:12]
