"""Tests beside a program, taken apart where they can be: the program gets the calls alone.

`seal` gives two sources. One follows the program and prints its answers. The other holds the
expected values and is never in the program's process. Where tests are not of the known form it
gives None, and they run in the program's own process (beside.py).
"""

from __future__ import annotations

from collections.abc import Callable

from seedbed.sandbox.languages.sealing import cpp, go, java, javascript, rust
from seedbed.sandbox.languages.sealing.calls import MARK, Sealed

__all__ = ["MARK", "Sealed", "seal", "whole"]

_SEALERS: dict[str, Callable[[str, str], Sealed | None]] = {
    "cpp": cpp.seal,
    "go": go.seal,
    "java": java.seal,
    "javascript": javascript.seal,
    "rust": rust.seal,
    "typescript": lambda prompt, tests: javascript.seal(prompt, tests, typed=True),
}


def seal(language: str, prompt: str, tests: str) -> Sealed | None:
    """The tests of a problem taken apart; None where they are not of the known form."""
    sealer = _SEALERS.get(language)
    return sealer(prompt, tests) if sealer else None


def whole(language: str, program: str, answers: str) -> str:
    """The program with what prints its answers."""
    text = f"{program}\n{answers}"
    return go.as_main(text) if language == "go" else text
