"""MultiPL-E: a prompt in another language, and tests in it that follow the completion.

Its fields are `prompt`, `tests`, `stop_tokens`, `language` and `name`. How rows of any form name a
language is here, too. A language that cannot be judged makes its programs `unsupported`.
"""

from __future__ import annotations

from dataclasses import replace

from conf.errors import SeedbedError
from seedbed.sandbox.formats.fields import Row, text, texts
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.languages import LANGUAGES, by_any_name, unjudged
from seedbed.sandbox.verdict import SourceTests, StdioTests, Tests, UnjudgedTests

_PYTHON = ("python", "python3", "python 3", "py", "py3")


def language_of(row: Row) -> str:
    """The language that a row names by its field `language`, in our words; Python without one.

    A language that is not judged here has the row's own word for it.
    """
    named = row.get("language") or "python"
    # CodeContests and others give a list of one.
    word = named[0] if isinstance(named, list) and len(named) == 1 else named
    if isinstance(word, str) and word.strip().lower() in _PYTHON:
        return "python"
    if not isinstance(word, str):
        raise SeedbedError(
            f"A row of task {row.get('task_id')!r} names the language {named!r:.40}.",
            f"Leave it out, or give one of python, {', '.join(LANGUAGES)}.",
        )
    found = by_any_name(word)
    return found.name if found else word.strip()[:40]


def in_language(row: Row, tests: Tests) -> Tests:
    """The tests of a row for the language that it names, where they can judge it."""
    if not row.get("language"):
        return tests
    language = language_of(row)
    if isinstance(tests, StdioTests):
        return replace(tests, language=language)
    reason = unjudged(tests, tests.language if isinstance(tests, SourceTests) else language)
    return UnjudgedTests(reason) if reason else tests


def own_language(asked: Task, sample: Row) -> str:
    """The language of a sample, where it names one; else empty."""
    return language_of(sample) if sample.get("language") else ""


def cut(completion: str, stops: tuple[str, ...]) -> str:
    """A completion up to where the first of the stop texts begins."""
    places = [at for stop in stops if stop and (at := completion.find(stop)) >= 0]
    return completion[: min(places)] if places else completion


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
)
