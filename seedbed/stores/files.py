"""What every kind of storage can do with plain files. Paths are relative to a root, with '/'."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, BinaryIO, Protocol


@dataclass(frozen=True)
class FileInfo:
    """One file below a root. path: relative to it. size: in bytes. mtime_ns: of its last change."""

    path: str
    size: int
    mtime_ns: int


class FileStore(Protocol):
    """The files below one root.

    A fault that no retry mends (credentials, a missing bucket, a full or read-only store) is a
    SeedbedError in each of these.
    """

    def read(self, path: str) -> bytes | None:
        """A whole file; None where it does not exist."""

    def write(self, path: str, data: bytes) -> None:
        """Write a whole file. A reader sees the old one or the new one."""

    def size(self, path: str) -> int | None:
        """The bytes of a file; None where there is no such file."""

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder; on an object store, whether a file is in it."""

    def list(self, folder: str, recurse: bool) -> list[FileInfo]:
        """The files in a folder, sorted by path; none where it does not exist."""

    def open_reader(self, path: str) -> BinaryIO:
        """A seekable reader. Raises FileNotFoundError where there is no such file."""

    def open_writer(self, path: str, mark: str) -> AbstractContextManager[IO[bytes]]:
        """A stream to a file that appears whole at the end of the block, or not at all.

        mark: keeps the temporary files of concurrent writers apart, PATH.MARK where there are any.
        """

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""

    def delete_folder(self, path: str) -> None:
        """Remove a folder and all in it, if it is there."""


class LeaseStore(Protocol):
    """What a lease needs of a store. A version names one content of a file."""

    def create(self, path: str, data: bytes) -> str | None:
        """Write a file that does not exist; its version. None where it exists."""

    def read_version(self, path: str) -> tuple[bytes, str] | None:
        """A file with its version; None where it does not exist."""

    def replace(self, path: str, data: bytes, version: str) -> str | None:
        """Write a file that still has `version`; its new version. None where it has another."""

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
