"""Finds the repository, revision and license of an archive.

They come from its package metadata, else from its file name and LICENSE file.
"""

from __future__ import annotations

import email.parser
import re
from dataclasses import dataclass

from spark_jobs.sources import licenses

_ABOUT = re.compile(r"([^/]+\.dist-info/METADATA|([^/]+/)?PKG-INFO|EGG-INFO/PKG-INFO)")
_LICENSE = re.compile(r"([^/]+/){0,3}(LICEN[CS]E|COPYING)(\.(txt|md|rst))?", re.IGNORECASE)
# The form is name-version, then the tags of a wheel.
_VERSIONED = re.compile(r"(.+?)-v?([0-9][^-]*)(-.*)?")
# Larger metadata and license files are not read.
ABOUT_BYTES = 1_000_000


@dataclass(frozen=True)
class Identity:
    """The name, revision and SPDX license (None: unknown) of a repository."""

    repo: str
    revision: str
    license: str | None


def is_about(path: str) -> bool:
    """Whether the member at `path` identifies its archive."""
    return bool(_ABOUT.fullmatch(path) or is_license(path))


def is_license(path: str) -> bool:
    """Whether the member at `path` is a LICENSE or COPYING file."""
    return bool(_LICENSE.fullmatch(path))


def identify(file_name: str, stem: str, digest: str, about: dict[str, str]) -> Identity:
    """The identity of an archive.

    file_name: without folders. stem: the same without its archive suffix. digest: of the archive,
    hexadecimal. about: texts of the members that `is_about` accepts, by path.

    The name in package metadata is normalised as in PEP 503, so that Jinja2 and jinja2 are one
    repository. The revision of an archive without a version is the first 12 digits of its digest.
    """
    said = next((about[path] for path in sorted(about, key=_depth) if _ABOUT.fullmatch(path)), "")
    headers = email.parser.HeaderParser().parsestr(said)
    text_license = license_of(about)
    license_name = (
        licenses.from_metadata(
            headers["License-Expression"], headers["License"], headers.get_all("Classifier") or []
        )
        or text_license
    )
    if headers["Name"] and headers["Version"]:
        return Identity(
            re.sub(r"[-_.]+", "-", headers["Name"]).lower(), headers["Version"], license_name
        )
    named = _VERSIONED.fullmatch(stem)
    if named:
        return Identity(named[1], named[2], license_name)
    return Identity(stem or file_name, digest[:12], license_name)


def license_of(about: dict[str, str]) -> str | None:
    """The license of the shallowest LICENSE or COPYING file whose text is known."""
    for path in sorted(about, key=_depth):
        if is_license(path) and (found := licenses.from_text(about[path])):
            return found
    return None


def _depth(path: str) -> tuple[int, str]:
    return path.count("/"), path
