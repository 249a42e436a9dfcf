"""Cases in the row itself: `inputs` and `outputs`, and `fn_name` where a function is called."""

from __future__ import annotations

from seedbed.sandbox.formats.cases import case_tests, paired
from seedbed.sandbox.formats.fields import Row, called_function, words
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.formats.livecodebench import asked


def task(row: Row) -> Task:
    """The task of a row, with `prompt` as its words and `code` as its solution."""
    pairs = paired(row, row["inputs"], row["outputs"])
    return Task(asked(row), case_tests(row, pairs, called_function(row)), words(row, "code"))


FORM = Form("stdio", has("inputs", "outputs"), task, honours=("fn_name", "func_name"))
