"""Which languages this host can judge. Each is looked for once per process."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from seedbed.sandbox.languages import LANGUAGES
from seedbed.sandbox.languages.language import MissingTool, Toolchain

_lock = threading.Lock()
_found: dict[str, Toolchain | MissingTool] = {}


def toolchain(name: str) -> Toolchain:
    """The tools of a language, by its own name. Raises MissingTool."""
    with _lock:
        if name not in _found:
            try:
                _found[name] = LANGUAGES[name].find()
            except MissingTool as error:
                _found[name] = error
        found = _found[name]
    if isinstance(found, MissingTool):
        raise MissingTool(*found.args)
    return found


def missing(names: Iterable[str]) -> list[str]:
    """Why programs in these languages cannot be judged here, one line per language that cannot."""
    reasons = []
    for name in sorted(set(names) & set(LANGUAGES)):
        try:
            toolchain(name)
        except MissingTool as error:
            reasons.append(f"{LANGUAGES[name].title}: {error}")
    return reasons


def check() -> dict[str, tuple[bool, str]]:
    """Title of each language -> whether its tools are here, and a version or the lack."""
    lines: dict[str, tuple[bool, str]] = {}
    for name, language in LANGUAGES.items():
        try:
            lines[language.title] = (True, toolchain(name).version)
        except MissingTool as error:
            lines[language.title] = (False, str(error))
    return lines
