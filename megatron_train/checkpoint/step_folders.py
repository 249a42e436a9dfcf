"""The folders of checkpoints on disk: which is the newest, how one appears, which are deleted.

root/step_00000100/        one checkpoint, with its manifest.json
root/latest                the name of the newest complete one

A save writes into step_N.partial. When every process is done, the folder is renamed; only then
does `latest` move, and only then are old checkpoints deleted. So a kill never loses a checkpoint.

`latest` is never deleted. Steps newer than it are abandoned: `latest` was set back by hand, or a
kill came before it moved, and the run has gone on from it. They go before the next save. Where the
disk has no room for a save, old checkpoints go before it too, as far as `keep` allows.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from seedbed import json_object
from seedbed.files import write_whole

_EARLIER = "give another step_* folder, or write the name of an earlier one into `latest` beside it"


def latest(root: Path) -> Path | None:
    """The newest complete checkpoint, or None.

    Where there is no `latest`, a kill came before the first one was written, or someone deleted it.
    The newest folder is then complete, or it would not have its name.
    """
    pointer = root / "latest"
    if not pointer.is_file():
        return next((f for f in reversed(_steps(root)) if (f / "manifest.json").is_file()), None)
    folder = root / pointer.read_text().strip()
    if not (folder / "manifest.json").is_file():
        raise SeedbedError(
            f"{pointer} names {folder.name}, which is not there",
            f"write the name of a step_* folder into {pointer}",
        )
    return folder


def chosen(root: Path, step: int) -> Path:
    """The checkpoint of one step, the newest for step 0.

    Raises:
        SeedbedError: where there is none, with those that there are.
    """
    if step == 0:
        return Path(read_manifest(root)["folder"])
    folder = root / f"step_{step:08d}"
    if not (folder / "manifest.json").is_file():
        there = ", ".join(str(_number(one)) for one in _steps(root)) or "none"
        raise SeedbedError(
            f"{root} has no checkpoint of step {step}; those that are there: {there}",
            "give one of them as step=N, and keep more by keep=N of pretrain",
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
    file = found / "manifest.json"
    manifest = json_object.read(file, _EARLIER)
    missing = [name for name in ("step", "architecture", "extra") if name not in manifest]
    if missing:
        raise SeedbedError(f"{file} is no checkpoint's manifest: it lacks {missing[0]}", _EARLIER)
    if type(manifest["step"]) is not int:
        raise SeedbedError(f"{file} is damaged: its step is {manifest['step']!r}", _EARLIER)
    return {**manifest, "folder": str(found)}


def make_room(root: Path, partial: Path, needed: int, keep: int) -> list[str]:
    """Delete what is not to be kept, and make the folder `partial`; returns the names deleted.

    What a killed save left goes, then abandoned steps, then all but the newest `keep`. Where there
    is still no room, the oldest go one by one, until the new checkpoint would make `keep`.

    Raises:
        SeedbedError: where fewer than `needed` bytes are free even then.
    """
    root.mkdir(parents=True, exist_ok=True)
    for leftover in root.glob("*.partial"):
        shutil.rmtree(leftover)
    newest = latest(root)
    kept = [folder for folder in _steps(root) if newest and _number(folder) <= _number(newest)]
    gone = [folder for folder in _steps(root) if folder not in kept] + kept[:-keep]
    for folder in gone:
        _delete(folder)
    kept = kept[-keep:]
    # The newest stays: until the new one is whole, the run would have nothing to go on from.
    while shutil.disk_usage(root).free < needed and len(kept) > max(keep - 1, 1):
        gone.append(kept.pop(0))
        _delete(gone[-1])
    free = shutil.disk_usage(root).free
    if free < needed:
        lower = "lower keep, or " if len(kept) > 1 else ""
        raise SeedbedError(
            f"a checkpoint takes {_size(needed)} and {root} has {_size(free)} free beside the "
            f"{len(kept)} that must stay under keep={keep}; nothing was written",
            f"{lower}make room on that disk, then start again: it goes on from "
            + (newest.name if newest else "the beginning"),
        )
    partial.mkdir()
    return [folder.name for folder in gone]


def publish(partial: Path, final: Path, manifest: dict[str, Any], keep: int) -> None:
    """Make a complete `partial` the newest checkpoint; keep it and the `keep` - 1 before it."""
    root = final.parent
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    write_whole(partial / "manifest.json", text)
    os.rename(partial, final)
    write_whole(root / "latest", final.name + "\n")
    for old in _steps(root)[:-keep]:
        _delete(old)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.2f} MB"


def _steps(root: Path) -> list[Path]:
    """The folders of checkpoints, by step. A later step may have more digits."""
    return sorted((f for f in root.glob("step_*") if f.name[5:].isdecimal()), key=_number)


def _number(folder: Path) -> int:
    return int(folder.name[5:])


def _delete(folder: Path) -> None:
    """A kill in the midst of it leaves no half of a checkpoint under the name of a whole one."""
    doomed = folder.with_name(folder.name + ".old.partial")
    os.rename(folder, doomed)
    shutil.rmtree(doomed)
