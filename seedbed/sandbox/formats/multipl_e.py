"""MultiPL-E: a prompt in another language, and tests in it that follow the completion.

Its fields are `prompt`, `tests`, `stop_tokens`, `language` and `name`. Languages that the sandbox
does not judge are refused by name.
"""

from __future__ import annotations

from conf.errors import SeedbedError
from seedbed.sandbox.formats.fields import Row, text, texts
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.languages import LANGUAGES, by_any_name
from seedbed.sandbox.verdict import SourceTests


def task(row: Row) -> Task:
    """A completion follows the prompt, and is cut where the first stop token begins."""
    prompt = text(row, "prompt")
    called = text(row, "language")
    language = by_any_name(called)
    if language is None:
        raise SeedbedError(
            f"Problem {row.get('task_id')!r} is in {called!r:.40}, which is not judged here.",
            f"Leave it out. Judged are: {', '.join(LANGUAGES)}.",
        )
    return Task(
        prompt=prompt,
        stem=prompt,
        tests=SourceTests(text(row, "tests"), prompt),
        language=language.name,
        stops=texts(row, "stop_tokens"),
    )


FORM = Form("multipl-e", has("prompt", "tests", "stop_tokens", "language"), task)
