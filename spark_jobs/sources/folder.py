"""Loose source files as repositories.

Each folder directly below the input is a repository, and the input's own files are another. Paths
are relative to the input, so they stay unique where a project's folder holds a package of its own
name. The revision is a hash over all that the repository's rows are made of. So it changes exactly
when they do.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from conf.schema.curate import IngestSettings
from seedbed.stores.places import place
from spark_jobs.sources import listing
from spark_jobs.sources.archives import is_archive
from spark_jobs.sources.languages import language_of
from spark_jobs.sources.members import Member, drop_reason, safe_path, shown
from spark_jobs.sources.metadata import ABOUT_BYTES, Identity, is_license, license_of

_FAULTS = {"file": None, "link": "link", "special": "unreadable"}


def repo_of(root: str, path: str) -> str:
    """The repository of the loose file `path` below `root`."""
    return path.split("/", 1)[0] if "/" in path else _own_name(root)


def check(root: str, repo: str, limits: IngestSettings) -> tuple[str, Identity]:
    """(SHA-256 over the repository's files, its identity).

    Files that give no content count with their path, size and drop_reason.
    """
    digest = hashlib.sha256()
    about: dict[str, str] = {}
    for member in read(root, repo):
        known = drop_reason(member, language_of(member.path), limits.max_file_bytes)
        licensed = is_license(member.path) and member.fault is None and member.size <= ABOUT_BYTES
        mark = known or "content"
        if known is None or licensed:
            try:
                raw = member.read()
                mark = hashlib.sha256(raw).hexdigest()
                if licensed:
                    about[member.path] = raw.decode("utf-8", "replace")
            except OSError:
                mark = "unreadable"
        digest.update(f"{member.path}\0{member.size}\0{mark}\0".encode())
    full = digest.hexdigest()
    return full, Identity(repo, full[:12], license_of(about))


def read(root: str, repo: str) -> Iterator[Member]:
    """The loose files of `repo` in the order of paths.

    Archives among them are repositories of their own and are left out.
    """
    own_files = listing.walk(root, recurse=False) if repo == _own_name(root) else []
    for entry in own_files + listing.walk(root, repo):
        if entry.kind == "file" and is_archive(entry.path):
            continue
        safe = safe_path(entry.path)
        fault = _FAULTS[entry.kind] if safe else "unsafe_path"
        yield Member(safe or shown(entry.path), entry.size, fault, lambda e=entry: _read(root, e))  # type: ignore[misc]


def _read(root: str, entry: listing.Entry) -> bytes:
    with listing.open_file(root, entry.path) as stream:
        raw = stream.read(entry.size + 1)
    if len(raw) != entry.size:
        raise OSError(f"{entry.path} changed while it was read")
    return raw


def _own_name(root: str) -> str:
    return os.path.basename(str(place(root))) or "root"
