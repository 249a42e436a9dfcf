"""The folders of checkpoints on disk: which is the newest, how one appears, which are deleted.

root/step_00000100/        one checkpoint, with its manifest.json
root/latest                the name of the newest complete one

A save writes into step_N.partial. When every process is done, the folder is renamed; only then
does `latest` move, and only then are old checkpoints deleted. So a kill never loses a checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from seedbed.files import write_whole


def latest(root: Path) -> Path | None:
    """The newest complete checkpoint, or None."""
    pointer = root / "latest"
    if not pointer.is_file():
        return None
    folder = root / pointer.read_text().strip()
    if not (folder / "manifest.json").is_file():
        raise SeedbedError(
            f"{pointer} names {folder.name}, which is not there",
            f"write the name of a step_* folder into {pointer}",
        )
    return folder


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of one checkpoint folder, or of the newest under a root."""
    folder = Path(folder)
    found = folder if (folder / "manifest.json").is_file() else latest(folder)
    if found is None:
        raise SeedbedError(
            f"{folder} holds no checkpoint", "train first, or give the folder that holds `latest`"
        )
    return {**json.loads((found / "manifest.json").read_text()), "folder": str(found)}


def make_room(root: Path, partial: Path, needed: int) -> None:
    """Delete what a killed save left, and make the folder `partial`.

    Raises:
        SeedbedError: where fewer than `needed` bytes are free.
    """
    root.mkdir(parents=True, exist_ok=True)
    for leftover in root.glob("*.partial"):
        shutil.rmtree(leftover)
    free = shutil.disk_usage(root).free
    if free < needed:
        raise SeedbedError(
            f"a checkpoint takes {needed / 1e9:.2f} GB and {root} has {free / 1e9:.2f} GB free; "
            "nothing was written",
            "make room, or lower keep, then start again: it goes on from the last checkpoint",
        )
    partial.mkdir()


def publish(partial: Path, final: Path, manifest: dict[str, Any], keep: int) -> None:
    """Make a complete `partial` the newest checkpoint, and delete all but the newest `keep`."""
    root = final.parent
    (partial / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    # A folder of that name is left over where `latest` was set back by hand.
    shutil.rmtree(final, ignore_errors=True)
    os.rename(partial, final)
    write_whole(root / "latest", final.name + "\n")
    for old in sorted(root.glob("step_*[0-9]"))[:-keep]:
        shutil.rmtree(old)
