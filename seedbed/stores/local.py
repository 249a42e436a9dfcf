"""Files on this machine's disks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import IO, BinaryIO

from conf.errors import SeedbedError
from seedbed.files import write_whole
from seedbed.stores.files import FileInfo


class LocalFiles:
    """The files below a local folder."""

    def __init__(self, root: str):
        self._root = Path(root)

    def read(self, path: str) -> bytes | None:
        """A whole file; None where it does not exist."""
        file = self._root / path
        return file.read_bytes() if file.is_file() else None

    def write(self, path: str, data: bytes) -> None:
        """Write a whole file, by a rename."""
        write_whole(self._root / path, data)

    def size(self, path: str) -> int | None:
        """The bytes of a file; None where there is no such file."""
        file = self._root / path
        return file.stat().st_size if file.is_file() else None

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder."""
        return (self._root / path).is_dir()

    def list(self, folder: str, recurse: bool) -> list[FileInfo]:
        """The files in a folder, sorted by path. Links to folders are not followed."""
        found = (self._root / folder).rglob("*") if recurse else (self._root / folder).glob("*")
        infos = []
        for file in found:
            # Another process may have moved a file away since.
            with suppress(FileNotFoundError):
                if S_ISREG((stat := file.stat()).st_mode):
                    path = file.relative_to(self._root).as_posix()
                    infos.append(FileInfo(path, stat.st_size, stat.st_mtime_ns))
        return sorted(infos, key=lambda info: info.path)

    def open_reader(self, path: str) -> BinaryIO:
        """A reader of a file."""
        return (self._root / path).open("rb")

    @contextmanager
    def open_writer(self, path: str, mark: str) -> Iterator[IO[bytes]]:
        """A stream to PATH.MARK, which takes the name PATH at the end."""
        target = self._root / path
        partial = target.with_name(f"{target.name}.{mark}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        except BaseException as error:
            partial.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise SeedbedError(
                    f"{target} cannot be written ({error.strerror})",
                    "free some space, or choose a folder that you can write to",
                ) from None
            raise

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        (self._root / path).unlink(missing_ok=True)

    def delete_folder(self, path: str) -> None:
        """Remove a folder and all in it, if it is there."""
        shutil.rmtree(self._root / path, ignore_errors=True)
