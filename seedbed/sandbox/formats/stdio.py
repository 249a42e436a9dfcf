"""Cases in the row itself: `inputs` and `outputs`, and `fn_name` where a function is called."""

from __future__ import annotations

from dataclasses import replace

from seedbed.sandbox.formats.cases import case_tests, paired
from seedbed.sandbox.formats.fields import Row, called_function, words
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.formats.livecodebench import asked
from seedbed.sandbox.formats.multipl_e import language_of
from seedbed.sandbox.verdict import StdioTests


def task(row: Row) -> Task:
    """The task of a row, with `prompt` as its words and `code` as its solution."""
    pairs = paired(row, row["inputs"], row["outputs"])
    tests = case_tests(row, pairs, called_function(row))
    if isinstance(tests, StdioTests):
        tests = replace(tests, language=language_of(row))
    return Task(asked(row), tests, words(row, "code"))


FORM = Form("stdio", has("inputs", "outputs"), task, honours=("fn_name", "func_name", "language"))
