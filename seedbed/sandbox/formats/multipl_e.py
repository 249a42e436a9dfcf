"""MultiPL-E: a prompt in another language, and tests in it that follow the completion.

Its fields are `prompt`, `tests`, `stop_tokens`, `language` and `name`. Languages that the sandbox
does not judge are refused by name.
"""

from __future__ import annotations

from seedbed.sandbox.formats.fields import Row, text, texts
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.formats.spoken import language_of
from seedbed.sandbox.verdict import SourceTests


def task(row: Row) -> Task:
    """A completion follows the prompt, and is cut where the first stop token begins."""
    prompt = text(row, "prompt")
    return Task(
        prompt=prompt,
        stem=prompt,
        tests=SourceTests(language_of(row), text(row, "tests"), prompt),
        stops=texts(row, "stop_tokens"),
    )


FORM = Form(
    "multipl-e",
    has("prompt", "tests", "stop_tokens", "language"),
    task,
    ids=("name",),
    honours=("language",),
)
