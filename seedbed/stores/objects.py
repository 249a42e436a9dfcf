"""Files on object stores, through obstore: s3, gs and abfss.

An object appears whole when its upload is complete, so each write is atomic. A folder is what the
names of its objects begin with.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import IO, Any, BinaryIO, cast

from conf.errors import SeedbedError
from seedbed.stores.faults import guarded, writing_to
from seedbed.stores.files import FileInfo
from seedbed.stores.places import Place
from seedbed.stores.settings import CONNECT_S, MAX_RETRIES, REQUEST_S, RETRY_S, s3_options

# One request of a reader. Archives are read from end to end, and a request costs some 50 ms.
READ_BYTES = 4 << 20


class ObjectFiles:
    """The objects whose names begin with the path of `where`."""

    def __init__(self, where: Place):
        self._where = where
        # Credentials are looked at here already.
        with guarded(where):
            self._store = _open(where)

    def read(self, path: str) -> bytes | None:
        """A whole object; None where it does not exist."""
        found = self.read_version(path)
        return None if found is None else found[0]

    def write(self, path: str, data: bytes) -> None:
        """Write a whole object."""
        with writing_to(self._where):
            self._store.put(self._key(path), data)

    def size(self, path: str) -> int | None:
        """The bytes of an object; None where there is none."""
        try:
            with guarded(self._where):
                return int(self._store.head(self._key(path))["size"])
        except FileNotFoundError:
            return None

    def is_folder(self, path: str) -> bool:
        """Whether an object is in the folder."""
        with guarded(self._where):
            chunks = self._store.list(self._key(path) or None, chunk_size=2)
            return any(len(chunk) > 0 for chunk in chunks)

    def list(self, folder: str, recurse: bool) -> list[FileInfo]:
        """The objects in a folder, sorted by path. Empty ones that stand for folders are not."""
        prefix, cut = self._key(folder), len(self._key("")) + 1 if self._key("") else 0
        with guarded(self._where):
            if recurse:
                found = [meta for chunk in self._store.list(prefix or None) for meta in chunk]
            else:
                found = self._store.list_with_delimiter(prefix or None)["objects"]
        return sorted(
            (
                FileInfo(meta["path"][cut:], meta["size"], _nanoseconds(meta["last_modified"]))
                for meta in found
                if not meta["path"].endswith("/") and meta["path"] != prefix
            ),
            key=lambda info: info.path,
        )

    def open_reader(self, path: str) -> BinaryIO:
        """A seekable reader. It asks for READ_BYTES at a time."""
        with guarded(self._where):
            size = int(self._store.head(self._key(path))["size"])
        raw = _Ranges(self._store, self._key(path), size, self._where)
        return io.BufferedReader(raw, READ_BYTES)

    @contextmanager
    def open_writer(self, path: str, mark: str) -> Iterator[IO[bytes]]:
        """A stream to an object, in parts of a few MB. A block that fails leaves no object."""
        with writing_to(self._where):
            writer = self._store_writer(path)
        yield cast(IO[bytes], _Upload(writer, self._where))
        # Nothing is visible before it; without it the parts are dropped.
        with writing_to(self._where):
            writer.close()

    def delete(self, path: str) -> None:
        """Remove an object, if it is there."""
        # S3 does not mind where there is none; Google and Azure do.
        with suppress(FileNotFoundError), guarded(self._where):
            self._store.delete(self._key(path))

    def delete_folder(self, path: str) -> None:
        """Remove all objects in a folder."""
        keys = [self._key(info.path) for info in self.list(path, recurse=True)]
        while keys:
            try:
                with guarded(self._where):
                    self._store.delete(keys)
                return
            except FileNotFoundError:
                # Another has removed one of them since; the rest is still there.
                keys = [self._key(info.path) for info in self.list(path, recurse=True)]

    def create(self, path: str, data: bytes) -> str | None:
        """Write an object that does not exist; its version. None where it exists."""
        return self._put(path, data, "create")

    def read_version(self, path: str) -> tuple[bytes, str] | None:
        """An object with its version; None where it does not exist."""
        try:
            with guarded(self._where):
                found = self._store.get(self._key(path))
                return bytes(found.bytes()), self._version(found.meta)
        except FileNotFoundError:
            return None

    def replace(self, path: str, data: bytes, version: str) -> str | None:
        """Write an object that still has `version`; its new version. None where it has another."""
        return self._put(path, data, {self._version_name: version})

    def _put(self, path: str, data: bytes, mode: Any) -> str | None:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with writing_to(self._where):
            try:
                return self._version(self._store.put(self._key(path), data, mode=mode))
            except (AlreadyExistsError, PreconditionError):
                return None

    def _version(self, of: Any) -> str:
        return of[self._version_name] or ""

    @property
    def _version_name(self) -> str:
        # Google compares generations, which object_store calls versions. The others compare ETags.
        return "version" if self._where.scheme == "gs" else "e_tag"

    def _store_writer(self, path: str) -> Any:
        import obstore

        return obstore.open_writer(self._store, self._key(path))

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self._where.path, path.strip("/")) if part)


class _Upload:
    """The stream of an upload. A part that fails may be told at the next one, or at the end."""

    def __init__(self, writer: Any, where: Place):
        self._writer = writer
        self._where = where

    def write(self, data: Any) -> int:
        with writing_to(self._where):
            return int(self._writer.write(data))


class _Ranges(io.RawIOBase):
    """An object as a raw file that is read by ranges."""

    def __init__(self, store: Any, key: str, size: int, where: Place):
        self._store = store
        self._key = key
        self._size = size
        self._where = where
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        with guarded(self._where):
            data = self._store.get_range(self._key, start=self._at, end=end)
        got = len(data)
        buffer[:got] = memoryview(data)
        self._at += got
        return got


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e6) * 1000


def _open(where: Place) -> Any:
    try:
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError as error:
        raise SeedbedError(
            f"{where} needs the package obstore, which is not installed",
            "pip install obstore (it is in the extras spark and train)",
        ) from error
    client: Any = {"connect_timeout": f"{CONNECT_S}s", "timeout": f"{REQUEST_S}s"}
    retry: Any = {"max_retries": MAX_RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)}
    if where.scheme == "gs":
        # Google's own address is https; only a key file for an emulator names another.
        client["allow_http"] = True
        return GCSStore(where.authority, client_options=client, retry_config=retry)
    if where.scheme == "abfss":
        container, _, host = where.authority.partition("@")
        account = host.split(".")[0]
        return AzureStore(
            container, account_name=account, client_options=client, retry_config=retry
        )
    options: Any = s3_options(where.authority)
    client["allow_http"] = options.pop("allow_http", "false") == "true"
    return S3Store(where.authority, config=options, client_options=client, retry_config=retry)
