"""Files and folders that appear whole, folders that one run writes to, tokenizer files."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from conf.errors import SeedbedError

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)


_claimed: dict[Path, IO[str]] = {}


def claim(folder: Path) -> None:
    """Keep `folder` for this process, until it ends in whatever way. Raises SeedbedError where
    another one has it: two runs in one folder would mix their metrics and take each other's
    checkpoints.
    """
    folder = Path(folder).resolve()
    if folder in _claimed:
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "lock").open("a")
    try:
        # not flock, which forked checkpoint writers would hold on to
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise SeedbedError(
            f"another run writes to {folder}",
            "wait until it has ended, or stop it, or give another output",
        ) from error
    _claimed[folder] = file


def copy_tokenizer(source: Path, target: Path) -> None:
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copy(source / name, target / name)


def fresh_partial(folder: Path) -> Path:
    """An empty folder.partial to write into, before `replace_folder` puts it in the place of
    `folder`.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def replace_folder(new: Path, target: Path) -> None:
    """Put `new` in the place of `target` by two renames; a crash between them leaves `target.old`,
    never a half.
    """
    old = target.with_name(target.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.rename(target, old)
    os.rename(new, target)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to that appears at `path` when the block ends well, and else leaves nothing.

    Raises:
        SeedbedError: where the place cannot be written.
    """
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(handle, "wb") as file:
            yield file
            # Without it, a power failure could leave an empty file under the new name.
            file.flush()
            os.fsync(file.fileno())
        # mkstemp's files are for their owner alone; others read a run's files too.
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException as error:
        if name:
            Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise SeedbedError(
                f"{path} cannot be written ({error.strerror})",
                "free some space, or choose a folder that you can write to",
            ) from None
        raise


def write_whole(path: Path, data: str | bytes) -> None:
    """Writes a file that appears whole or not at all. Raises SeedbedError as `whole_file` does."""
    with whole_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)
