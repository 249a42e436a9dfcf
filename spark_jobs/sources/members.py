"""The members of a repository, and the rules on them that hold for every kind of source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_DRIVE = re.compile(r"[A-Za-z]:")
# Folders of version control, which hold no source.
_VCS = frozenset({".git", ".hg", ".svn", ".bzr", "CVS", "_darcs"})
READ_BYTES = 1 << 20


class RefusedError(Exception):
    """Raised for an archive that must not be read; the text goes to `repos.drop_reason`."""


@dataclass(frozen=True)
class Member:
    """One entry of a repository, not yet read.

    path: separated by '/', without a leading './'. Where `fault` is unsafe_path, it is the name as
        given, escaped to printable UTF-8.
    size: the bytes that the container claims.
    fault: a drop_reason that needs no reading (unsafe_path, link, unreadable), else None.
    read: returns the member's bytes, or raises where it cannot. It may be called once, before the
        next member is taken.
    """

    path: str
    size: int
    fault: str | None
    read: Callable[[], bytes]


def safe_path(name: str) -> str | None:
    """`name` without './' and doubled '/', or None where it is not a plain relative path.

    Absolute names, drive letters, backslashes, '..', control characters such as NUL, and names that
    are not UTF-8 are refused.
    """
    if (
        not name
        or name.startswith("/")
        or "\\" in name
        or _DRIVE.match(name)
        or not name.isprintable()
    ):
        return None
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        return None
    return "/".join(parts)


def shown(name: str) -> str:
    """`name` as printable UTF-8, to record an unsafe path."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in name)


def is_vcs(path: str) -> bool:
    """Whether `path` lies in a folder of version control."""
    return not _VCS.isdisjoint(path.split("/"))


class PathLedger:
    """Tells which names of one repository are safe.

    A name that occurs twice is not, since no reader can tell which entry is the real one.
    """

    def __init__(self, names: Iterator[str]):
        # What each name is recorded as, and whether it is safe.
        self._known: dict[str, tuple[str, bool]] = {}
        self._twice: set[str] = set()
        self._told: set[str] = set()
        seen: set[str] = set()
        for name in names:
            path, _ = self._look(name)
            (self._twice if path in seen else seen).add(path)

    def admit(self, name: str) -> tuple[str, bool] | None:
        """(path to record, whether it is safe); None where the path has been recorded already."""
        known = self._look(name)
        path = known[0]
        if path in self._told:
            return None
        if path in self._twice:
            self._told.add(path)
            return path, False
        return known

    def _look(self, name: str) -> tuple[str, bool]:
        known = self._known.get(name)
        if known is None:
            path = safe_path(name)
            known = self._known[name] = (path or shown(name), path is not None)
        return known


def drop_reason(member: Member, language: str | None, max_bytes: int) -> str | None:
    """The first reason to drop `member` that needs no reading; None where it must be read."""
    if member.fault:
        return member.fault
    if language is None:
        return "not_code"
    if member.size > max_bytes:
        return "too_large"
    return "empty" if member.size == 0 else None


def text_fault(raw: bytes) -> str | None:
    """The drop_reason of bytes that are no text, which is strict UTF-8 without NUL; else None.

    A byte-order mark belongs to the text, so that it encodes to the hashed bytes.
    """
    if b"\0" in raw:
        return "nul"
    if raw.isascii():
        return None
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "bad_utf8"
    return None
