"""Cases of stdin and stdout: `inputs` and `outputs`."""

from __future__ import annotations

from conf.errors import SeedbedError
from seedbed.sandbox.formats.fields import Row, texts
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.verdict import StdioTests


def task(row: Row) -> Task:
    """The task of a row, with `prompt` as its words and `code` as its solution."""
    inputs, outputs = texts(row, "inputs"), texts(row, "outputs")
    if len(inputs) != len(outputs):
        raise SeedbedError(
            f"Problem {row['task_id']!r} has {len(inputs)} inputs but {len(outputs)} outputs.",
            "Give one output per input.",
        )
    words = str(row.get("prompt") or "")
    return Task(words, StdioTests(inputs, outputs), str(row.get("code") or ""))


FORM = Form("stdio", has("inputs", "outputs"), task)
