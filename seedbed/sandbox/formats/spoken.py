"""Which language a program is in, and where its completion ends."""

from __future__ import annotations

from conf.errors import SeedbedError
from seedbed.sandbox.formats.fields import Row
from seedbed.sandbox.formats.form import Task
from seedbed.sandbox.languages import LANGUAGES, by_any_name
from seedbed.sandbox.verdict import StdioTests

_PYTHON = ("python", "python3", "py", "py3")


def spoken(asked: Task, problem: Row, sample: Row) -> str:
    """The language of a sample, as in Job.language.

    Where cases of stdin and stdout judge it, the sample's `language` counts, else the problem's,
    else it is Python. Other tests are in a language themselves. Raises SeedbedError for a language
    that is not judged.
    """
    if not isinstance(asked.tests, StdioTests):
        return asked.language
    named = sample.get("language") or problem.get("language") or "python"
    if isinstance(named, str) and named.strip().lower() in _PYTHON:
        return "python"
    found = by_any_name(named) if isinstance(named, str) else None
    if found is None:
        raise SeedbedError(
            f"Task {problem['task_id']!r} names the language {named!r:.40}, not judged here.",
            f"Judged are: python, {', '.join(LANGUAGES)}.",
        )
    return found.name


def cut(completion: str, stops: tuple[str, ...]) -> str:
    """A completion up to where the first of the stop texts begins."""
    places = [at for stop in stops if stop and (at := completion.find(stop)) >= 0]
    return completion[: min(places)] if places else completion
