"""What tests change around a program: stdin, stdout, input(), the environment and the seed.

In one process such changes reach the program by themselves. Here the tester notes them before each
question (`Changes`), and the jail makes them, too (`World`). What the program prints goes back only
where the tests have put something in the place of stdout.
"""

from __future__ import annotations

import builtins
import io
import os
import random
import sys
from collections.abc import Callable
from typing import Any

_INPUT, _SEED = builtins.input, random.seed


class Changes:
    """The tester's side. One per program."""

    def __init__(self) -> None:
        self._stdin, self._stdout, self._input = sys.stdin, sys.stdout, builtins.input
        self._environment = dict(os.environ)
        self._seeds: list[Any] = []
        random.seed = self._seed  # type: ignore[method-assign,assignment]
        # Whether what the program prints is wanted.
        self.captures = False

    def _seed(self, *arguments: Any, **keywords: Any) -> None:
        _SEED(*arguments, **keywords)
        self._seeds = [arguments, keywords]

    def close(self) -> None:
        """Undo what the tests left, for the next program."""
        random.seed = _SEED  # type: ignore[method-assign]
        sys.stdin, sys.stdout = sys.__stdin__, sys.__stdout__
        builtins.input = _INPUT
        os.environ.clear()

    def take(self) -> dict[str, Any]:
        """What has changed since the last question, by name."""
        found: dict[str, Any] = {}
        if self._seeds:
            found["seed"], self._seeds = self._seeds, []
        if sys.stdin is not self._stdin:
            self._stdin = sys.stdin
            read: Any = getattr(sys.stdin, "read", None)
            text = read() if read and self._stdin is not sys.__stdin__ else ""
            found["stdin"] = text if type(text) is str else ""
        if builtins.input is not self._input:
            self._input = builtins.input
            found["input"] = None if self._input is _INPUT else self._input
        if os.environ != self._environment:
            found["environment"] = self._environment = dict(os.environ)
        captures = sys.stdout is not sys.__stdout__
        if captures != self.captures:
            found["capture"] = self.captures = captures
        return found


class World:
    """The jail's side."""

    def __init__(self) -> None:
        self._printed: io.StringIO | None = None
        self._makers: dict[str, Callable[[Any], None]] = {
            "seed": lambda seed: random.seed(*seed[0], **seed[1]),
            "stdin": self._feed,
            "input": self._answer,
            "environment": self._export,
            "capture": self._capture,
        }

    def change(self, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            self._makers[name](value)

    def printed(self) -> str:
        """What was printed since the last question."""
        if self._printed is None:
            return ""
        text = self._printed.getvalue()
        self._printed.seek(0)
        self._printed.truncate()
        return text

    def _feed(self, text: str) -> None:
        sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")

    def _answer(self, function: Any) -> None:
        builtins.input = _INPUT if function is None else function

    def _export(self, environment: dict[str, str]) -> None:
        os.environ.clear()
        os.environ.update(environment)

    def _capture(self, wanted: bool) -> None:
        self._printed = io.StringIO() if wanted else None
        sys.stdout = self._printed if self._printed is not None else sys.__stdout__
