"""Limits on the sizes that an archive may claim or deliver.

They are checked on the headers first, and again on the bytes.
"""

from __future__ import annotations

from typing import BinaryIO

from conf.schema.curate import IngestSettings
from spark_jobs.sources.members import RefusedError

# Below this size the ratio is not checked. A file of blanks shrinks a thousandfold and is harmless.
RATIO_FROM_BYTES = 10_000_000


def check_members(count: int, limits: IngestSettings) -> None:
    """Raise RefusedError where an archive has too many members."""
    if count > limits.max_archive_members:
        raise RefusedError(
            f"refused: {count:,} members > max_archive_members {limits.max_archive_members:,}"
        )


def check_unpacked(unpacked: int, packed: int, limits: IngestSettings) -> None:
    """Raise RefusedError where the sizes, in bytes, break the size or the ratio limit.

    unpacked: claimed, or delivered so far. packed: of the archive.
    """
    if unpacked > limits.max_archive_bytes:
        raise RefusedError(
            f"refused: unpacked size {unpacked:,} > max_archive_bytes {limits.max_archive_bytes:,}"
        )
    if unpacked > RATIO_FROM_BYTES and unpacked > limits.max_compression_ratio * packed:
        ratio = unpacked // max(packed, 1)
        raise RefusedError(
            f"refused: compression ratio {ratio:,} ({unpacked:,} / {packed:,} bytes) > "
            f"max_compression_ratio {limits.max_compression_ratio:,}"
        )


class LimitedReader:
    """A seekable binary file that refuses a single read of more than `largest` bytes.

    So no header can ask for the whole memory. rule: the name of the limit, for the message.
    """

    def __init__(self, stream: BinaryIO, largest: int, rule: str):
        self._stream = stream
        self._largest, self._rule = largest, rule
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            position = self._stream.tell()
            size = self._stream.seek(0, 2) - position
            self._stream.seek(position)
        if size > self._largest:
            raise RefusedError(
                f"refused: a header asks for {size:,} bytes at once > {self._largest:,}, "
                f"{self._rule}"
            )
        return self._stream.read(size)

    def seekable(self) -> bool:
        return True
