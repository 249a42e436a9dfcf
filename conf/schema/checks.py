"""Rules that many settings share. Each raises SeedbedError with the value and what to type."""

from __future__ import annotations

import os
import re
from typing import Any

from conf.errors import SeedbedError

# What delta-rs 1.6 misreads in a path of a table on a disk, tried with each sign of ASCII: it
# decodes %41 once too often, takes a backslash for a slash, and loses control characters.
MISREAD = r"%[0-9A-Fa-f]{2}|[\x00-\x1f\x7f\\]"
# It panics where it writes a table under one of these. Reading works, and engines write by links.
_UNWRITABLE = re.compile(rf"{MISREAD}|[\[\]^|]")


def local(name: str, value: str) -> None:
    """Refuses a URI where only a folder of this machine will do."""
    if "://" in value:
        raise SeedbedError(
            f"{name}={value} is not on this machine: training writes checkpoints and models to "
            "a disk that all its processes see",
            f"set {name} to such a folder; token shards may stay where they are: "
            "data.blend=[{name: corpus, tokens: URI}] (docs/storage.md)",
        )


def holds_tables(name: str, value: str) -> None:
    """Refuses a folder of this machine in which delta-rs cannot write tables."""
    local(name, value)
    # The folders above count, too, and delta-rs follows links.
    found = _UNWRITABLE.search(os.path.realpath(value))
    if found:
        raise SeedbedError(
            f"{name}={value} lies under a name with {found.group()!r}: no table can be written "
            "there",
            "choose a folder whose whole path has none of % with two digits, \\ [ ] ^ | and "
            "control characters",
        )


def one_of(name: str, value: Any, *choices: str) -> None:
    """Refuses a value that is not among `choices`, of which there are two or more."""
    if value not in choices:
        listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise SeedbedError(f"{name}={value!r} is unknown", f"use {listed}")
