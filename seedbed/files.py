"""Files and folders that appear whole or not at all, and folders that one run may write to."""

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

# What belongs to a tokenizer in a Hugging Face folder.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)

# The folders of this process, with the files whose locks it holds.
_claimed: dict[Path, IO[str]] = {}


def claim(folder: Path) -> None:
    """Reserves a folder for this process until the process ends, in whatever way.

    Two runs in one folder would mix their metrics and read each other's checkpoints.

    Raises SeedbedError where another process has reserved the folder.
    """
    folder = Path(folder).resolve()
    if folder in _claimed:
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "lock").open("a")
    try:
        # Not flock: processes that were forked to write checkpoints would keep such a lock.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise SeedbedError(
            f"another run writes to {folder}",
            "wait until it has ended, or stop it, or give another output",
        ) from error
    _claimed[folder] = file


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copies the files of a tokenizer from one folder to another."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copy(source / name, target / name)


def fresh_partial(folder: Path) -> Path:
    """A new, empty folder beside `folder`, to be filled and then given to `replace_folder`."""
    partial = partial_of(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def partial_of(folder: Path) -> Path:
    """Where a folder is filled before it bears its name."""
    return folder.with_name(folder.name + ".partial")


def replace_folder(new: Path, target: Path) -> None:
    """Replaces the folder `target` by `new`, by two renames.

    A crash between them leaves `target.old`. It never leaves half a folder.
    """
    old = target.with_name(target.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.rename(target, old)
    os.rename(new, target)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to. It appears at `path` when the block ends without an error.

    Otherwise nothing is left of it. Raises SeedbedError where the file cannot be written.
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
        # mkstemp makes files that only their owner may read. Others read the files of a run, too.
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
