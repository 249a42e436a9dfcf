"""Lists the units of an input, identifies them and reads their members.

A unit is one repository at one revision. `find_units` runs on the driver and only lists. `identify`
and `members` run in executors, one unit at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conf.errors import SeedbedError
from conf.schema.curate import IngestSettings
from spark_jobs.sources import archives, folder, listing
from spark_jobs.sources.members import Member


@dataclass(frozen=True)
class Unit:
    """One repository to read.

    source: archives or folder. name: the archive's path below the input, or the repository's name.
    size: in bytes.
    """

    source: str
    name: str
    size: int


@dataclass(frozen=True)
class Offer:
    """A unit that has been identified.

    refused: why none of its files may be ingested, or None.
    """

    source: str
    name: str
    size: int
    repo: str
    revision: str
    license: str | None
    origin_sha256: str
    refused: str | None


def find_units(path: str) -> tuple[str, list[Unit], str]:
    """(root folder or URI, units below it in order of source and name, state of the listing).

    Raises SeedbedError where there are none.
    """
    root, single = listing.split_input(path)
    if single:
        if not archives.is_archive(single):
            raise SeedbedError(
                f"input {path} is neither a folder nor an archive",
                f"give a folder, or one of {_SUFFIXES}",
            )
        entries = [entry for entry in listing.walk(root, recurse=False) if entry.path == single]
    else:
        entries = listing.walk(root)
    if not entries:
        raise SeedbedError(
            f"input {path} is empty",
            f"put source files or archives ({_SUFFIXES}) there, or give another path",
        )
    units, loose = [], {}
    for entry in entries:
        if entry.kind == "file" and archives.is_archive(entry.path):
            units.append(Unit("archives", entry.path, entry.size))
        else:
            repo = folder.repo_of(root, entry.path)
            loose[repo] = loose.get(repo, 0) + entry.size
    units += [Unit("folder", repo, size) for repo, size in sorted(loose.items())]
    return root, units, listing.state(entries)


def identify(root: str, unit: Unit, limits: IngestSettings) -> Offer:
    """Read `unit` once: its hash, name, revision, license, and whether it may be ingested."""
    if unit.source == "folder":
        digest, identity = folder.check(root, unit.name, limits)
        refused = None
    else:
        checked = archives.check(root, unit.name, unit.size, limits)
        digest, identity, refused = checked.digest, checked.identity, checked.refused
    return Offer(
        unit.source,
        unit.name,
        unit.size,
        identity.repo,
        identity.revision,
        identity.license,
        digest,
        refused,
    )


def members(root: str, offer: Offer, limits: IngestSettings) -> Iterator[Member]:
    """The members of an offer that was not refused."""
    if offer.source == "folder":
        return folder.read(root, offer.name)
    return archives.read(root, offer.name, offer.size, limits)


_SUFFIXES = " ".join(archives.ZIP_SUFFIXES + archives.TAR_SUFFIXES)
