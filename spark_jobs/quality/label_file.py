"""Finds and reads the oracle's label file, and checks each of its lines.

A line is a JSON object with these fields:

- sha256: of the file's raw bytes;
- score, readability, modularity, clarity, reusability: numbers from 0 to 10;
- zero: the reason of the zero policy, "" where it does not hold (conf/oracle/README.md);
- second_score: for files that were read twice.

Other fields, such as source, path and language, are for people and are ignored.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import conf
from conf.errors import SeedbedError
from seedbed import jsonl
from seedbed.stores.copies import local_file

ASPECTS = ("readability", "modularity", "clarity", "reusability")
COLUMNS = ("content_sha256", "score", *ASPECTS, "zero_reason", "second_score")
# The zero policy of the rubric (Seed-Coder App A.2).
ZERO_REASONS = ("", "generated", "nologic", "data", "config")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def locate(path: str) -> Path:
    """The label file at `path`, relative to the working directory or to the folder above `conf`.

    Of a file at a URI it is a copy.

    Raises SeedbedError where neither is a file.
    """
    candidates = [local_file(path), Path(conf.__file__).parents[1] / path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise SeedbedError(
        f"labels.path={path} does not exist "
        f"(looked for {' and '.join(str(c) for c in candidates)})",
        "give the path of a label file, such as conf/oracle/labels.jsonl",
    )


def digest(path: str) -> str:
    """The first 16 hexadecimal digits of the label file's SHA-256."""
    return hashlib.sha256(locate(path).read_bytes()).hexdigest()[:16]


def read(path: str) -> tuple[dict[str, Any], ...]:
    """The labels, one dict per line with the fields of COLUMNS.

    second_score is None where a file was read once. Raises SeedbedError, which names file:line, for
    the first line that breaks a rule, and for a content that has two labels.
    """
    file = locate(path)
    stat = file.stat()
    return _read(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _read(file: Path, _mtime_ns: int, _size: int) -> tuple[dict[str, Any], ...]:
    labels: list[dict[str, Any]] = []
    line_of: dict[str, int] = {}
    for number, row in jsonl.read(file):
        where = f"{file}:{number}"
        label = _checked(row, where)
        sha = label["content_sha256"]
        if sha in line_of:
            raise SeedbedError(
                f"{where}: {sha} has a label already, on line {line_of[sha]}",
                "keep one of the two lines",
            )
        line_of[sha] = number
        labels.append(label)
    return tuple(labels)


def _checked(row: jsonl.Row, where: str) -> dict[str, Any]:
    sha = row.get("sha256")
    if not isinstance(sha, str) or not _SHA256.fullmatch(sha):
        raise SeedbedError(
            f"{where}: sha256={sha!r} is not 64 lower-case hex digits",
            "give the SHA-256 of the file's raw bytes",
        )
    zero = row.get("zero")
    if zero not in ZERO_REASONS:
        raise SeedbedError(
            f"{where}: zero={zero!r} is unknown", f"use one of {', '.join(map(repr, ZERO_REASONS))}"
        )
    score = _number(row, "score", where)
    if zero and score != 0:
        raise SeedbedError(
            f"{where}: score={score:g} beside zero={zero!r}: the zero policy means a score of 0",
            "correct one of the two",
        )
    return {
        "content_sha256": sha,
        "score": score,
        **{name: _number(row, name, where) for name in ASPECTS},
        "zero_reason": zero,
        "second_score": _number(row, "second_score", where) if "second_score" in row else None,
    }


def _number(row: dict[str, Any], name: str, where: str) -> float:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10:
        raise SeedbedError(
            f"{where}: {name}={value!r} is not a number from 0 to 10",
            "give a number on the 0-10 scale",
        )
    return float(value)
