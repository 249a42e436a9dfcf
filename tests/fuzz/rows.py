"""Files of JSON lines: problems of every form, samples, labels and journals."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import strategies as st

from conf.errors import SeedbedError
from seedbed.inference.journal import Journal
from seedbed.sandbox import formats, problem_files
from seedbed.sandbox.verdict import Job
from spark_jobs.quality import label_file
from tests.fuzz.boundary import Boundary, folder
from tests.fuzz.mutations import as_json, damaged, odd_object, odd_texts, odd_values
from tests.seedbed.sandbox.formats import rows as known

ROWS: tuple[dict[str, Any], ...] = tuple(
    value
    for name, value in sorted(vars(known).items())
    if name.isupper() and isinstance(value, dict)
)
_FIELDS = (
    "task_id", "format", "tests", "test", "test_list", "time_limit", "memory_limit", "atol",
    "checker", "comparison", "language", "interactive", "files", "target",
    "command", "solution", "completion",
)  # fmt: skip
_TEXTS = (
    "python",
    "2 s",
    "1e400 s",
    "words",
    "mbpp",
    "apps",
    "f(1)",
    "```",
    "[[1]]",
    '{"inputs": 3}',
)


@st.composite
def _problem(draw: st.DrawFn) -> bytes:
    row = draw(odd_object(draw(st.sampled_from(ROWS)), *_TEXTS))
    more = draw(st.dictionaries(st.sampled_from(_FIELDS), odd_values(*_TEXTS), max_size=2))
    return as_json({**row, **more})


_problems = st.lists(
    _problem()
    | odd_values(*_TEXTS).map(as_json)
    | odd_texts().map(lambda t: t.encode("utf-8", "surrogatepass")),
    max_size=4,
).map(b"\n".join)
_SAMPLES = (
    {"solution": "x = 1"},
    {"completion": "  return 1"},
    {"files": {"a.py": "x"}},
    {"solution": 3},
)


def _read_problems(data: bytes) -> None:
    """Every line that is not blank is a problem, or a bad row that is told."""
    said: list[str] = []
    with folder(p_jsonl=data) as where:
        found = problem_files.read(where / "p.jsonl", max_bad=10**6, say=said.append)
    lines = [line for line in data.split(b"\n") if line.strip()]
    skipped = sum(line.startswith("skipped: ") for line in said)
    assert len(found.good) + skipped == len(lines), (len(found.good), skipped, len(lines))
    for read in found.good.values():
        for sample in _SAMPLES:
            with contextlib.suppress(SeedbedError):
                made = formats.job_of(read.name, read.task, sample)
                assert isinstance(made, Job)


_LABEL = {
    "sha256": "ab" * 32, "score": 7, "readability": 6.5, "modularity": 7, "clarity": 8,
    "reusability": 5, "zero": "", "second_score": 6,
}  # fmt: skip
_JOURNAL = {"content_sha256": "ab" * 32, "params_hash": "p", "text": "RATING"}


def _read_labels(data: bytes) -> None:
    with folder(l_jsonl=data) as where:
        found = label_file.read(str(where / "l.jsonl"))
    assert len(found) == sum(1 for line in data.split(b"\n") if line.strip())
    for label in found:
        assert all(0 <= label[name] <= 10 for name in ("score", *label_file.ASPECTS))


def _read_journal(data: bytes) -> None:
    """A journal is opened, gets an answer, and is opened again: nothing of it is lost."""
    with folder(j_jsonl=data) as where:
        with Journal(where / "j.jsonl", "p") as journal:
            before = dict(journal.answers)
            journal.add("new", text="t")
        with Journal(where / "j.jsonl", "p") as journal:
            assert journal.answers.keys() == before.keys() | {"new"}


def _lines(row: dict[str, Any]) -> st.SearchStrategy[bytes]:
    line = odd_object(row).map(as_json) | st.just(as_json(row))
    return damaged(st.lists(line, max_size=3).map(lambda lines: b"\n".join([*lines, b""])), most=2)


PROBLEMS = Boundary(
    "problems", damaged(_problems, most=1), _read_problems, tuple(map(as_json, ROWS))
)
LABELS = Boundary("labels", _lines(_LABEL), _read_labels, (as_json(_LABEL),))
JOURNALS = Boundary("journals", _lines(_JOURNAL), _read_journal, (as_json(_JOURNAL) + b"\n",))
BOUNDARIES = (PROBLEMS, LABELS, JOURNALS)
