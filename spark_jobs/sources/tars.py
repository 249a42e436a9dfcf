"""Reads the members of a tar file, plain or compressed, as a stream under limits.

A tar has no directory, so its sizes are known only at its end. `scan` reads it once and counts the
delivered bytes. `members` reads it again, when it is known to be sound. Header data, such as long
names and pax records, is limited too, because tarfile reads it into memory in one piece.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from conf.schema.curate import IngestSettings
from spark_jobs.sources.limits import check_members, check_unpacked
from spark_jobs.sources.members import READ_BYTES, Member, PathLedger, RefusedError, is_vcs

# Bytes of a POSIX ustar block.
_BLOCK = 512
# Bytes of one member's headers. A path of 4 KB with pax records takes less than 10 KB.
_HEADER_BYTES = 1 << 20
# In bytes. xz -9 needs 65 MiB to decompress. A hostile header may ask for 4 GiB.
_XZ_MEMORY = 256 << 20


class TarStream:
    """The unpacked bytes of a tar, counted against the limits as they are delivered.

    The stream goes only forward, except for one block.
    """

    def __init__(self, stream: BinaryIO, name: str, packed: int, limits: IngestSettings):
        self._raw = _decompressed(stream, name)
        self._packed = packed
        self._limits = limits
        self._position = 0
        self._delivered = 0
        # The last block delivered, because tarfile steps back one byte between members.
        self._tail = b""
        self._header_left = _HEADER_BYTES

    def begin_header(self) -> None:
        """Allow the next member its header bytes."""
        self._header_left = _HEADER_BYTES

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int) -> int:
        """Go forward to `offset`, or back within the last block; returns the position."""
        if self._delivered - len(self._tail) <= offset <= self._delivered:
            self._position = offset
        while self._position < offset:
            if not self._take(min(offset - self._position, READ_BYTES)):
                break
        return self._position

    def read(self, size: int) -> bytes:
        """At most `size` bytes for a header."""
        self._header_left -= size
        if self._header_left < 0:
            raise RefusedError(
                f"refused: the headers of one member take more than {_HEADER_BYTES:,} bytes"
            )
        return self._take(size)

    def read_data(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes of member data from `offset`."""
        self.seek(offset)
        parts: list[bytes] = []
        while size > 0:
            part = self._take(min(size, READ_BYTES))
            if not part:
                raise RefusedError("refused: truncated, a member's data is cut short")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def ended_properly(self) -> bool:
        """Whether the last block delivered is the zero block that ends every tar."""
        return self._tail == b"\0" * _BLOCK

    def is_blank_to_the_end(self) -> bool:
        """Whether nothing but zeros follows; reads to the end, so that checksums are checked.

        A header that was overwritten by zeros, and a tar behind another, would lose their members
        in silence.
        """
        while part := self._take(READ_BYTES):
            if part.strip(b"\0"):
                return False
        return True

    def _take(self, size: int) -> bytes:
        again = (
            self._tail[len(self._tail) - (self._delivered - self._position) :]
            if self._position < self._delivered
            else b""
        )
        again = again[:size]
        self._position += len(again)
        if len(again) == size:
            return again
        fresh = self._raw.read(size - len(again))
        self._position += len(fresh)
        self._delivered += len(fresh)
        self._tail = (self._tail + fresh)[-_BLOCK:]
        check_unpacked(self._delivered, self._packed, self._limits)
        return again + fresh


def scan(stream: BinaryIO, name: str, packed: int, limits: IngestSettings) -> list[str]:
    """Read the whole tar; returns the names of all entries except folders, in order.

    packed: bytes of the archive. Raises RefusedError where it is broken, truncated or over a limit.
    """
    source = TarStream(stream, name, packed, limits)
    names: list[str] = []
    try:
        for count, entry in enumerate(_entries(source), start=1):
            check_members(count, limits)
            if not entry.isdir():
                names.append(entry.name)
        ended, blank = source.ended_properly(), source.is_blank_to_the_end()
    except RefusedError:
        raise
    except Exception as error:
        # A parser of hostile bytes may raise anything; all of it means a broken archive.
        raise RefusedError(f"refused: broken or truncated tar file: {error}") from error
    if not ended:
        raise RefusedError("refused: broken or truncated tar file: no end-of-archive block")
    if not blank:
        raise RefusedError("refused: broken tar file: data follow its end-of-archive block")
    return names


def members(
    stream: BinaryIO, name: str, packed: int, limits: IngestSettings, names: list[str]
) -> Iterator[Member]:
    """All entries except folders; `names` comes from `scan` of the same bytes."""
    source = TarStream(stream, name, packed, limits)
    ledger = PathLedger(iter(names))
    for entry in _entries(source):
        admitted = None if entry.isdir() else ledger.admit(entry.name)
        if admitted is None or is_vcs(admitted[0]):
            continue
        path, safe = admitted
        yield Member(
            path,
            entry.size,
            _fault(entry) if safe else "unsafe_path",
            lambda e=entry: source.read_data(e.offset_data, e.size),  # type: ignore[misc]
        )


def _entries(source: TarStream) -> Iterator[tarfile.TarInfo]:
    archive = tarfile.TarFile(fileobj=source, mode="r", errors="surrogateescape")  # type: ignore[arg-type]
    while True:
        source.begin_header()
        entry = archive.next()
        # tarfile would keep all members in memory.
        archive.members.clear()
        if entry is None:
            return
        yield entry


def _fault(entry: tarfile.TarInfo) -> str | None:
    if entry.issym() or entry.islnk():
        return "link"
    return None if entry.isreg() and not entry.issparse() else "unreadable"


def _decompressed(stream: BinaryIO, name: str) -> BinaryIO:
    lower = name.lower()
    if lower.endswith((".gz", ".tgz")):
        return gzip.GzipFile(fileobj=stream)  # type: ignore[return-value]
    if lower.endswith(".bz2"):
        return bz2.BZ2File(stream)  # type: ignore[return-value]
    return _XzStream(stream) if lower.endswith(".xz") else stream  # type: ignore[return-value]


class _XzStream:
    """The .xz streams of a file with a limit on memory, which lzma.LZMAFile does not offer."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self._unpacker = _xz_unpacker()
        # What was read behind the end of a stream.
        self._before = b""

    def read(self, size: int) -> bytes:
        while not self._unpacker.eof or self._begins_another():
            packed, self._before = self._before, b""
            if self._unpacker.needs_input and not packed:
                packed = self._stream.read(1 << 16)
            if self._unpacker.needs_input and not packed:
                raise EOFError("xz stream ended before its end marker")
            part = self._unpacker.decompress(packed, max_length=size)
            if part:
                return part
        return b""

    def _begins_another(self) -> bool:
        """Whether a stream follows the one that has ended. Zeros between are padding."""
        rest = self._unpacker.unused_data.lstrip(b"\0")
        while not rest and (packed := self._stream.read(1 << 16)):
            rest = packed.lstrip(b"\0")
        if not rest:
            return False
        self._unpacker, self._before = _xz_unpacker(), rest
        return True


def _xz_unpacker() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
