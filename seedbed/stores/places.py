"""Where a path or URI points to, and how each engine wants it spelled.

A URI is taken as it stands: what follows the bucket is the key, and nothing in it is decoded.
`s3://` and `s3a://` (Hadoop's name) are one.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import quote

from conf.errors import SeedbedError
from conf.schema.checks import MISREAD

SCHEMES = ("s3", "gs", "abfss", "hdfs")
_MISREAD = re.compile(MISREAD)
# Engines take these for patterns, or for parts of a URL.
_PATTERN = re.compile(rf"{MISREAD}|[?*\[\]{{}}]")
# On HDFS delta-rs writes every other character under one name and reads it under another.
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._~+=,@:/-]")


@dataclass(frozen=True)
class Place:
    """A root of files.

    scheme: "" for this machine, else one of SCHEMES. authority: bucket, container@account or
    host:port. path: absolute on this machine and on hdfs, else the key without slashes at its ends.
    """

    scheme: str
    authority: str
    path: str

    def __str__(self) -> str:
        if not self.scheme:
            return self.path
        return f"{self.scheme}://{self.authority}/{self.path.strip('/')}".rstrip("/")


def place(root: str) -> Place:
    """The place that `root` names: a path, or a URI of a known scheme.

    Raises SeedbedError for another scheme, or where the bucket is missing.
    """
    scheme, separator, rest = root.partition("://")
    if not separator:
        return Place("", "", os.path.abspath(root))
    if scheme == "file":
        return Place("", "", os.path.abspath(rest.removeprefix("localhost")))
    scheme = "s3" if scheme == "s3a" else scheme
    if scheme not in SCHEMES:
        raise SeedbedError(
            f"{root}: storage {scheme}:// is unknown",
            "give a local path, or a URI with s3://, s3a://, gs://, abfss:// or hdfs://",
        )
    authority, _, path = rest.partition("/")
    account = scheme != "abfss" or "@" in authority
    if scheme != "hdfs" and (not authority or not account):
        form = "abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH"
        raise SeedbedError(
            f"{root} names no {'container and account' if scheme == 'abfss' else 'bucket'}",
            f"give {form if scheme == 'abfss' else f'{scheme}://BUCKET/PATH'}",
        )
    return Place(scheme, authority, f"/{path.strip('/')}" if scheme == "hdfs" else path.strip("/"))


def is_uri(root: str) -> bool:
    """Whether `root` is not on this machine's own disks."""
    return bool(place(root).scheme)


def require_local(name: str, path: str, why: str) -> None:
    """Raises SeedbedError where the setting `name` holds a URI. why: what needs a local folder."""
    if is_uri(path):
        raise SeedbedError(
            f"{name}={path} is not on this machine: {why}",
            f"copy it here and give {name}=DIR (docs/storage.md)",
        )


def for_delta(root: str) -> str:
    """`root` as delta-rs opens it.

    Raises SeedbedError for a path that it would read in two ways.
    """
    where = place(root)
    require_unambiguous(root)
    if not where.scheme:
        return where.path
    return f"{where.scheme}://{where.authority}/{quote(where.path.lstrip('/'))}"


def for_engine(root: str, engine: str) -> str:
    """`root` as an engine opens it. engine: sail, spark or connect.

    Spark knows S3 as `s3a`, and so do Databricks and Sail's servers.
    """
    text = str(place(root))
    return text if engine == "sail" else re.sub("^s3://", "s3a://", text)


def require_unambiguous(root: str) -> None:
    """Raises SeedbedError where tables cannot lie under `root`: libraries would read other paths.

    Engines get a local folder under a plain name (spark_jobs/runtime/engines/aliases.py), so that
    patterns matter on stores alone.
    """
    where = place(root)
    refused = {"": _MISREAD, "hdfs": _NOT_PLAIN}.get(where.scheme, _PATTERN)
    # delta-rs follows links on a disk.
    found = refused.search(where.path if where.scheme else os.path.realpath(where.path))
    if found:
        raise SeedbedError(
            f"{root} holds {found.group()!r}, which libraries decode or take for a pattern",
            "rename the folder: tables may not lie under % with two digits, \\ or control "
            "characters, nor, on a store, under ? * [ ] { }; on HDFS use letters, digits and "
            ". _ - / alone",
        )
