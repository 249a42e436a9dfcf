"""Archives as repositories: one archive file is one repository at one revision.

Nothing is unpacked to disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from conf.schema.curate import IngestSettings
from spark_jobs.sources import listing, tars, zips
from spark_jobs.sources.members import Member, RefusedError
from spark_jobs.sources.metadata import ABOUT_BYTES, Identity, identify, is_about

ZIP_SUFFIXES = (".whl", ".zip", ".egg")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


@dataclass(frozen=True)
class Checked:
    """The result of the first reading of an archive, before rows are made of it.

    digest: SHA-256 in hexadecimal digits. refused: why the archive must not be ingested, or None.
    """

    digest: str
    identity: Identity
    refused: str | None


def is_archive(path: str) -> bool:
    """Whether the name of `path` is that of an archive."""
    return path.lower().endswith(ZIP_SUFFIXES + TAR_SUFFIXES)


def check(root: str, path: str, size: int, limits: IngestSettings) -> Checked:
    """Hash the archive `root`/`path` (`size` bytes), check its limits and identify it."""
    with listing.open_file(root, path) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    name = path.rsplit("/", 1)[-1]
    about: dict[str, str] = {}
    refused = None
    try:
        for member in read(root, path, size, limits):
            if member.fault is None and member.size <= ABOUT_BYTES and is_about(member.path):
                about[member.path] = _text(member)
    except RefusedError as error:
        refused = str(error)
    return Checked(digest, identify(name, _stem(name), digest, about), refused)


def _text(member: Member) -> str:
    """The text of a member; "" where it is broken, which is told when rows are made of it."""
    try:
        return member.read().decode("utf-8", "replace")
    except RefusedError:
        raise
    except Exception:
        # A parser of hostile bytes may raise anything.
        return ""


def read(root: str, path: str, size: int, limits: IngestSettings) -> Iterator[Member]:
    """The archive's members.

    Raises RefusedError before the first member where the archive must not be read.
    """
    if path.lower().endswith(ZIP_SUFFIXES):
        with (
            listing.open_file(root, path) as stream,
            zips.open_zip(stream, size, limits) as archive,
        ):
            yield from zips.members(archive)
        return
    with listing.open_file(root, path) as stream:
        names = tars.scan(stream, path, size, limits)
        stream.seek(0)
        yield from tars.members(stream, path, size, limits, names)


def _stem(name: str) -> str:
    suffix = max((s for s in ZIP_SUFFIXES + TAR_SUFFIXES if name.lower().endswith(s)), key=len)
    return name[: -len(suffix)]
