"""MultiPL-E: a prompt in another language, and tests in it that follow the completion.

Its fields are `prompt`, `tests`, `stop_tokens`, `language` and `name`. Languages that the sandbox
does not judge are refused by name. How rows name a language is here, too.
"""

from __future__ import annotations

from conf.errors import SeedbedError
from seedbed.sandbox.formats.fields import Row, text, texts
from seedbed.sandbox.formats.form import Form, Task, has
from seedbed.sandbox.languages import LANGUAGES, by_any_name
from seedbed.sandbox.verdict import SourceTests, StdioTests

_PYTHON = ("python", "python3", "python 3", "py", "py3")


def language_of(row: Row) -> str:
    """The language that a row names by its field `language`, in our words; Python without one.

    Raises SeedbedError for a language that is not judged here.
    """
    named = row.get("language") or "python"
    # CodeContests and others give a list of one.
    word = named[0] if isinstance(named, list) and len(named) == 1 else named
    if isinstance(word, str) and word.strip().lower() in _PYTHON:
        return "python"
    found = by_any_name(word) if isinstance(word, str) else None
    if found is None:
        raise SeedbedError(
            f"A row of task {row.get('task_id')!r} names the language {named!r:.40}.",
            f"Leave it out. Judged are: python, {', '.join(LANGUAGES)}.",
        )
    return found.name


def own_language(asked: Task, sample: Row) -> str:
    """The language of a sample, where it names one and cases judge it; else empty."""
    if "language" not in sample or not isinstance(asked.tests, StdioTests):
        return ""
    return language_of(sample)


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
    honours=("language",),
)
