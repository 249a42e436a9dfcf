"""The oracle's label file: where it lies, and its lines, each checked.

A line is a JSON object: sha256 (of the file's raw bytes), score 0-10, readability, modularity,
clarity, reusability 0-10, zero (the zero-policy reason, "" where none; conf/oracle/README.md tells
the reasons), and second_score for the files that were read twice. Further fields (source, path,
language ...) are for people.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import conf
from conf.errors import SeedbedError

ASPECTS = ("readability", "modularity", "clarity", "reusability")
COLUMNS = ("content_sha256", "score", *ASPECTS, "zero_reason", "second_score")
# the zero policy of the rubric (Seed-Coder App A.2)
ZERO_REASONS = ("", "generated", "nologic", "data", "config")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def locate(path: str) -> Path:
    """`path` from the working directory, else from the repository that holds the installed `conf`
    package.

    Raises SeedbedError where neither is a file.
    """
    candidates = [Path(path), Path(conf.__file__).parents[1] / path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise SeedbedError(
        f"labels.path={path} does not exist (looked for {' and '.join(str(c) for c in candidates)})",
        "give the path of a label file, such as conf/oracle/labels.jsonl",
    )


def digest(path: str) -> str:
    """First 16 hex digits of the label file's SHA-256."""
    return hashlib.sha256(locate(path).read_bytes()).hexdigest()[:16]


def read(path: str) -> tuple[dict[str, Any], ...]:
    """The labels, one dict a line: content_sha256, score, the aspects, zero_reason, second_score
    (None: read once).

    Raises SeedbedError naming file:line for the first line that breaks a rule, or a content
    labelled twice.
    """
    file = locate(path)
    stat = file.stat()
    return _read(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _read(file: Path, _mtime_ns: int, _size: int) -> tuple[dict[str, Any], ...]:
    labels: list[dict[str, Any]] = []
    line_of: dict[str, int] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        label = _checked(line, where)
        sha = label["content_sha256"]
        if sha in line_of:
            raise SeedbedError(
                f"{where}: {sha} has a label already, on line {line_of[sha]}",
                "keep one of the two lines",
            )
        line_of[sha] = number
        labels.append(label)
    return tuple(labels)


def _checked(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise SeedbedError(
            f"{where}: not valid JSON: {error}", "write one JSON object a line"
        ) from error
    if not isinstance(row, dict):
        raise SeedbedError(
            f"{where}: a {type(row).__name__}, not an object", "write one JSON object a line"
        )
    sha = row.get("sha256")
    if not isinstance(sha, str) or not _SHA256.fullmatch(sha):
        raise SeedbedError(
            f"{where}: sha256={sha!r} is not 64 lower-case hex digits", "hash the file's raw bytes"
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
            "mend one",
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
            "scores are on the 0-10 scale",
        )
    return float(value)
