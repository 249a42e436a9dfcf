"""Files on HDFS, through hdfs-native: Rust, without a JVM. delta-rs and Sail use the same library.

It reads core-site.xml and hdfs-site.xml in HADOOP_CONF_DIR, for names of clusters and Kerberos.
"""

from __future__ import annotations

import hashlib
import io
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO

from conf.errors import SeedbedError
from seedbed.stores.files import FileInfo
from seedbed.stores.places import Place
from seedbed.stores.settings import CONNECT_S

READ_BYTES = 4 << 20
# Seconds between two attempts at a small file. The NameNode still names a data node that was just
# lost, and hdfs-native asks for no other: a new attempt does. In all they are half a minute, so
# that a lease (lease.TERM_S) that is renewed this way has not ended.
PAUSES_S = (1, 2, 4, 8, 15)


class HadoopFiles:
    """The files below a folder of HDFS. A rename puts each in place, in one step."""

    def __init__(self, where: Place):
        self._where = where
        self._client = _connect(where)

    def read(self, path: str) -> bytes | None:
        """A whole file; None where it does not exist."""
        with self._guarded():
            try:
                return self._client.read(self._path(path)).read()
            except FileNotFoundError:
                return None

    def write(self, path: str, data: bytes) -> None:
        """Write a whole file, by a rename."""
        with self._guarded():
            self._put(path, data, overwrite=True)

    def _put(self, path: str, data: bytes, overwrite: bool) -> None:
        """Write under another name, as often as data nodes fail, and rename."""
        partial = f"{self._path(path)}.{uuid.uuid4().hex}"
        for pause in (*PAUSES_S, None):
            try:
                writer = self._client.create(partial, _options(overwrite=True))
                writer.write(data)
                writer.close()
                break
            except (FileNotFoundError, PermissionError):
                raise
            except (OSError, RuntimeError) as error:
                if pause is None:
                    raise
                print(
                    f"{self._where}: {path} was not written ({_first_line(error)}), "
                    f"trying again in {pause} s",
                    file=sys.stderr,
                )
                time.sleep(pause)
        try:
            self._client.rename(partial, self._path(path), overwrite)
        except FileExistsError:
            self._client.delete(partial)
            raise

    def size(self, path: str) -> int | None:
        """The bytes of a file; None where there is no such file."""
        with self._guarded():
            try:
                found = self._client.get_file_info(self._path(path))
            except FileNotFoundError:
                return None
        return None if found.isdir else int(found.length)

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder."""
        with self._guarded():
            try:
                return bool(self._client.get_file_info(self._path(path) or "/").isdir)
            except FileNotFoundError:
                return False

    def list(self, folder: str, recurse: bool) -> list[FileInfo]:
        """The files in a folder, sorted by path; none where it does not exist."""
        cut = len(self._where.path.rstrip("/")) + 1
        with self._guarded():
            try:
                found = list(self._client.list_status(self._path(folder), recurse))
            except FileNotFoundError:
                return []
        own = self._path(folder)
        files = [one for one in found if not one.isdir and one.path != own]
        return sorted(
            (FileInfo(f.path[cut:], f.length, f.modification_time * 1_000_000) for f in files),
            key=lambda info: info.path,
        )

    def open_reader(self, path: str) -> BinaryIO:
        """A seekable reader."""
        with self._guarded():
            return io.BufferedReader(_Readable(self._client.read(self._path(path))), READ_BYTES)

    @contextmanager
    def open_writer(self, path: str, mark: str) -> Iterator[IO[bytes]]:
        """A stream to PATH.MARK, which takes the name PATH at the end."""
        partial = f"{self._path(path)}.{mark}"
        with self._guarded():
            writer = self._client.create(partial, _options(overwrite=True))
            try:
                yield writer
            except BaseException:
                writer.close()
                self._client.delete(partial)
                raise
            writer.close()
            self._client.rename(partial, self._path(path), True)

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        with self._guarded():
            self._client.delete(self._path(path))

    def delete_folder(self, path: str) -> None:
        """Remove a folder and all in it, if it is there."""
        with self._guarded():
            self._client.delete(self._path(path), True)

    def create(self, path: str, data: bytes) -> str | None:
        """Write a file that does not exist; its version. None where it exists."""
        with self._guarded():
            try:
                self._put(path, data, overwrite=False)
            except FileExistsError:
                return None
        return _version(data)

    def read_version(self, path: str) -> tuple[bytes, str] | None:
        """A file with a hash of it as its version; None where it does not exist."""
        data = self.read(path)
        return None if data is None else (data, _version(data))

    def replace(self, path: str, data: bytes, version: str) -> str | None:
        """Write a file that still has `version`; its new version. None where it has another.

        HDFS cannot compare and write in one step: the file is read, written and read again.
        """
        found = self.read_version(path)
        if found is None or found[1] != version:
            return None
        self.write(path, data)
        again = self.read_version(path)
        return again[1] if again is not None and again[0] == data else None

    def _path(self, path: str) -> str:
        return "/".join(part for part in (self._where.path.rstrip("/"), path.strip("/")) if part)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except PermissionError as error:
            raise SeedbedError(
                f"{self._where}: HDFS does not permit it: {_first_line(error)}",
                "let this user (HADOOP_USER_NAME, or the Kerberos principal) write there",
            ) from error
        except (OSError, RuntimeError) as error:
            raise SeedbedError(
                f"{self._where}: HDFS failed: {_first_line(error)}",
                "see that the NameNode answers, and run the same command again",
            ) from error


class _Readable(io.RawIOBase):
    """A reader of hdfs-native as a raw file of Python."""

    def __init__(self, file: Any):
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return self.tell()

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), len(self._file) - self.tell()))
        buffer[: len(data)] = data
        return len(data)


def _options(overwrite: bool) -> Any:
    from hdfs_native import WriteOptions

    return WriteOptions(overwrite=overwrite, create_parent=True)


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _connect(where: Place) -> Any:
    try:
        from hdfs_native import Client
    except ImportError as error:
        raise SeedbedError(
            f"{where} needs the package hdfs-native, which is not installed",
            "pip install hdfs-native (it is in the extra spark)",
        ) from error
    host, _, port = where.authority.partition(":")
    if port.isdigit():
        # The client itself asks a NameNode that is gone for minutes.
        try:
            socket.create_connection((host, int(port)), CONNECT_S).close()
        except OSError as error:
            raise SeedbedError(
                f"{where}: the NameNode at {where.authority} does not answer ({error})",
                "check host and port, or give the cluster's name and HADOOP_CONF_DIR",
            ) from error
    return Client(f"hdfs://{where.authority}" if where.authority else None)
