"""The journal of labels against a list in memory: kills, other runs, other parameters."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from conf.errors import SeedbedError
from seedbed.inference.journal import Journal

contents = st.sampled_from(["a" * 64, "b" * 64, "c" * 64, "d" * 64])
answers = st.text(max_size=12) | st.sampled_from(["\u2028x", "\ud800", 'q"\\', "\0"])


class JournalModel(RuleBasedStateMachine):
    """The model is the list of whole lines: (parameters, content, text), oldest first.

    A run is an open journal. It sees what was there when it was opened, and what it added itself.
    """

    runs = Bundle("runs")

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="seedbed-journal-"))
        self.path = self.folder / "labels" / "o.jsonl"
        self.lines: list[tuple[str, str, str]] = []
        self.open: list[Journal] = []

    def teardown(self) -> None:
        for journal in self.open:
            journal.__exit__(None, None, None)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _seen(self, params: str) -> dict[str, str]:
        return {content: text for p, content, text in self.lines if p == params}

    @rule(target=runs, params=st.sampled_from(["p", "q"]))
    def start(self, params: str) -> tuple[Journal, str, dict[str, str]]:
        journal = Journal(self.path, params)
        self.open.append(journal)
        told = {key: row["text"] for key, row in journal.answers.items()}
        assert told == self._seen(params)
        return journal, params, told

    @rule(run=runs, content=contents, text=answers)
    def answer(self, run: tuple[Journal, str, dict[str, str]], content: str, text: str) -> None:
        journal, params, known = run
        if journal not in self.open:
            return
        journal.add(content, text=text)
        self.lines.append((params, content, text))
        known[content] = text
        # What another run added since is not seen, and what this one added is.
        assert {key: row["text"] for key, row in journal.answers.items()} == known

    @rule(cut=st.integers(1, 40))
    def killed_within_a_line(self, cut: int) -> None:
        """A line that was being written when the power went: some of its bytes, no newline."""
        line = json.dumps({"content_sha256": "e" * 64, "params_hash": "p", "text": "t" * 30})
        self.path.parent.mkdir(exist_ok=True, parents=True)
        with self.path.open("ab") as file:
            file.write(line.encode()[:cut])
        # No run that was open then goes on.
        for journal in self.open:
            journal.__exit__(None, None, None)
        self.open.clear()
        with Journal(self.path, "p") as journal:
            assert set(journal.answers) == set(self._seen("p"))
        assert self.path.read_bytes().endswith(b"\n") or not self.lines

    @rule(line=st.sampled_from([b"no json\n", b"[1]\n", b"{}\n", b"[" * 3000 + b"\n"]))
    def refuses_a_damaged_line(self, line: bytes) -> None:
        """A line that no run wrote is named, and nothing of the file is thrown away."""
        before = self.path.read_bytes() if self.path.exists() else b""
        self.path.parent.mkdir(exist_ok=True, parents=True)
        self.path.write_bytes(before + line)
        with pytest.raises(SeedbedError, match=rf"o\.jsonl:{len(self.lines) + 1}"):
            Journal(self.path, "p")
        assert self.path.read_bytes() == before + line
        self.path.write_bytes(before)

    @invariant()
    def every_answer_is_on_the_disk(self) -> None:
        if not getattr(self, "lines", None):
            return
        rows = [json.loads(line) for line in self.path.read_bytes().split(b"\n") if line]
        assert [(r["params_hash"], r["content_sha256"], r["text"]) for r in rows] == self.lines


JournalModel.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestJournalModel = JournalModel.TestCase
