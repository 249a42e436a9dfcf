"""Reads the members of a zip file by its central directory, under limits; wheels and eggs are zips.

Sizes come from the directory but are not trusted. The sum of all claims is limited before anything
is unpacked. A member gives at most the bytes that it claims. One with a false size fails its CRC
and is `unreadable`, as an encrypted one is. An archive whose entries share bytes (the "better zip
bomb") is refused. Only stored and deflated members are read, since zipfile unpacks other methods
without a bound on memory.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from conf.schema.curate import IngestSettings
from spark_jobs.sources.limits import LimitedReader, check_members, check_unpacked
from spark_jobs.sources.members import Member, PathLedger, RefusedError, is_vcs

# Bytes before a member's name (APPNOTE.TXT 4.3.7).
_LOCAL_HEADER = 30
# Bytes that an entry of the central directory may take on average. Real ones take 50 to 150.
_DIRECTORY_ENTRY = 200
# The host in "version made by" whose external attributes hold a file mode.
_UNIX = 3
_SAFE_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def open_zip(stream: BinaryIO, packed: int, limits: IngestSettings) -> zipfile.ZipFile:
    """The archive, after its directory has been read and checked.

    packed: bytes of the archive. Raises RefusedError where it is broken or over a limit.
    """
    directory_bytes = max(1 << 20, limits.max_archive_members * _DIRECTORY_ENTRY)
    rule = f"what a directory of max_archive_members {limits.max_archive_members:,} may take"
    try:
        archive = zipfile.ZipFile(LimitedReader(stream, directory_bytes, rule))  # type: ignore[arg-type]
    except RefusedError:
        raise
    except Exception as error:
        # A parser of hostile bytes may raise anything; all of it means a broken archive.
        raise RefusedError(f"refused: not a readable zip file: {error}") from error
    entries = archive.infolist()
    check_members(len(entries), limits)
    check_unpacked(sum(entry.file_size for entry in entries), packed, limits)
    _check_overlap(entries, archive.start_dir)
    return archive


def members(archive: zipfile.ZipFile) -> Iterator[Member]:
    """All entries except folders, in the directory's order."""
    entries = [entry for entry in archive.infolist() if not entry.orig_filename.endswith("/")]
    ledger = PathLedger(entry.orig_filename for entry in entries)
    for entry in entries:
        admitted = ledger.admit(entry.orig_filename)
        if admitted is None or is_vcs(admitted[0]):
            continue
        path, safe = admitted
        yield Member(
            path,
            entry.file_size,
            _fault(entry) if safe else "unsafe_path",
            lambda e=entry: _read(archive, e),
        )  # type: ignore[misc]


def _fault(entry: zipfile.ZipInfo) -> str | None:
    mode = entry.external_attr >> 16 if entry.create_system == _UNIX else 0
    if stat.S_ISLNK(mode):
        return "link"
    special = stat.S_IFMT(mode) not in (0, stat.S_IFREG)
    return "unreadable" if special or entry.compress_type not in _SAFE_METHODS else None


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as member:
        # One byte more than claimed makes zipfile reach the end and check the CRC.
        raw = member.read(entry.file_size + 1)
    if len(raw) != entry.file_size:
        raise RefusedError(
            f"{entry.filename}: {len(raw)} bytes, the directory says {entry.file_size}"
        )
    return raw


def _check_overlap(entries: list[zipfile.ZipInfo], directory_start: int) -> None:
    end = 0
    for entry in sorted(entries, key=lambda e: e.header_offset):
        if entry.header_offset < end:
            raise RefusedError(
                f"refused: entries overlap in the file at byte {entry.header_offset} "
                f"({entry.filename})"
            )
        end = entry.header_offset + _LOCAL_HEADER + len(entry.orig_filename) + entry.compress_size
    if end > directory_start:
        raise RefusedError("refused: entries overlap the central directory")
