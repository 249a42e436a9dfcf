"""A program as the tests see it: the tester's end of the channel, and proxies of its objects.

The end of the jail raises a BaseException, which a test's own `except Exception` cannot swallow. A
proxy never passes ==, <, bool or hash on to the program: a proxy equals itself only.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any

from . import wire
from .decoder import Decoder

# Exceptions of the program that reach the tests as themselves. StopIteration does not: it would end
# a test's all(map(...)) early, as if that had passed. Nor do those whose constructor needs special
# arguments.
RAISABLE = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type)
    and issubclass(kind, Exception)
    and not issubclass(
        kind, StopIteration | StopAsyncIteration | UnicodeError | Warning | BaseExceptionGroup
    )
}
# Types of the six values of jail._raised.
_RAISED = (str, str, tuple, str, int, tuple)
# Replies that end the program -> the verdict.
_DEATHS = {"exit": "error", "too_big": "output", "no_memory": "memory", "unsendable": "error"}


class ProgramError(Exception):
    """An exception of the program that has no safe built-in type."""


class ProgramGone(BaseException):
    """The program can answer no more calls. The arguments are a verdict and its reason."""


class Program:
    """The tester's end of the channel to the jail."""

    def __init__(self, channel: int, output_bytes: int):
        self._channel, self._limit = channel, output_bytes
        self._callbacks: list[Any] = []
        self.calls = 0
        self.gone: tuple[str, str] | None = None
        # Makes the proxy of an object of the program, from the object's number.
        self.stand_in: Callable[[int], Any] = lambda number: Remote(self, number)
        # Number -> an exception class of the program that the tests know.
        self.classes: dict[int, type[Exception]] = {}
        # The last exception that came from the program, and the same in words.
        self.raised: BaseException | None = None
        self.why = ""

    def load(self, source: Any) -> frozenset[str]:
        """Send the program to the jail, and give the names that it defines.

        source: a text, or pairs (path, text). The names are those of functions and classes; files
        give none.
        """
        try:
            wire.send(self._channel, wire.frame(1 << 30, source))
            # An empty frame says that the jail is locked down. No line of the program has run yet.
            wire.receive(self._channel, 0)
        except (EOFError, OSError):
            self.end("infrastructure", "the jail could not be set up")
        names = self._reply([])
        if type(names) is not tuple or any(type(name) is not str for name in names):
            self.end("error", "a malformed answer")
        return frozenset(names)

    def request(
        self, operation: str, target: str | int, arguments: tuple[Any, ...], keywords: Any = None
    ) -> Any:
        """Ask for one operation on an object of the program, and give its value.

        target: the object's name or number. Raises what the operation raised there.
        """
        if self.gone:
            raise ProgramGone(*self.gone)
        if operation == "call":
            self.calls += 1
        encoder = wire.Encoder(1 << 28, opaque=self._reference)
        encoder.put(operation).put(target).put(arguments).put(keywords)
        self._send(encoder)
        return self._reply(encoder.mutables)

    def answers_in_turn(self) -> bool:
        """Whether the channel is clean.

        An answer that nobody asked for would come before the token that is sent here.
        """
        token = os.urandom(8).hex()
        self._send(wire.Encoder(4096).put("close").put("").put((token,)).put(None))
        kind, value, _ = self._receive([])
        return bool(kind == "return" and value == token)

    def _send(self, encoder: wire.Encoder) -> None:
        try:
            wire.send(self._channel, encoder.out)
        except OSError:
            self.end("gone", "the program's process ended")

    def end(self, verdict: str, reason: str) -> None:
        """Give up on the program. The first verdict stands. Raises ProgramGone."""
        self.gone = self.gone or (verdict, reason)
        raise ProgramGone(*self.gone)

    def _reply(self, owned: list[Any]) -> Any:
        """Wait for the answer to a request, and serve callbacks meanwhile."""
        while True:
            kind, value, _ = self._receive(owned)
            if kind == "return":
                return value
            if kind == "raise":
                raise self._exception(value)
            if kind == "callback":
                self._call_back(value)
            elif type(kind) is str and kind in _DEATHS and type(value) is str:
                self.end(
                    _DEATHS[kind], {"exit": "ended by "}.get(kind, "the program returned ") + value
                )
            else:
                self.end("error", "a malformed answer")

    def _receive(self, owned: list[Any]) -> list[Any]:
        try:
            return Decoder(wire.receive(self._channel, self._limit), owned, self._stand_in).values(
                3
            )
        except (EOFError, OSError):
            self.end("gone", "the program's process ended")
        except wire.TooBig as error:
            self.end("output", str(error))
        except wire.Malformed as error:
            self.end("error", f"a malformed answer ({error})")
        raise AssertionError

    def _exception(self, value: Any) -> Exception:
        if type(value) is not tuple or tuple(map(type, value)) != _RAISED:
            self.end("error", "a malformed answer")
        base, name, arguments, message, line, classes = value
        kind = next(
            (found for found in classes if found in self.classes.values()),
            RAISABLE.get(base, ProgramError),
        )
        try:
            self.raised = kind(*arguments)
        except Exception:
            self.raised = ProgramError(name, *arguments)
        self.why = f"{name}: {message}" + (f" (program line {line})" if line else "")
        return self.raised

    def _call_back(self, value: Any) -> None:
        if (
            type(value) is not tuple
            or len(value) != 3
            or type(value[0]) is not int
            or type(value[1]) is not tuple
        ):
            self.end("error", "a malformed answer")
        number, arguments, keywords = value
        if not 0 <= number < len(self._callbacks) or type(keywords) not in (dict, type(None)):
            self.end("error", "a malformed answer")
        answer = wire.Encoder(1 << 28, opaque=self._reference)
        try:
            result = self._callbacks[number](*arguments, **(keywords or {}))
            answer.put("answer").put("return").put(result).put(None)
        except Exception as error:
            answer = (
                wire.Encoder(1 << 28)
                .put("answer")
                .put("raise")
                .put(f"{type(error).__name__}: {error}")
                .put(None)
            )
        self._send(answer)

    def _reference(self, value: Any) -> tuple[bytes, int] | None:
        if isinstance(value, Remote):
            return b"H", value._number
        if type(value) is Function:
            return None
        if callable(value):
            self._callbacks.append(value)
            return b"K", len(self._callbacks) - 1
        return None

    def _stand_in(self, tag: bytes, number: int) -> Any:
        if tag == b"H":
            return self.stand_in(number)
        if number >= len(self._callbacks):
            raise wire.Malformed("an unknown function")
        return self._callbacks[number]


class Function:
    """A function or class of the program, by name."""

    def __init__(self, program: Program, name: str):
        self._program, self.__name__ = program, name

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._program.request("call", self.__name__, arguments, keywords or None)


class Remote:
    """An object that stays in the jail.

    Every use of it is a request. Its equality and truth are those of a plain object.
    """

    __slots__ = ("_number", "_program")

    def __init__(self, program: Program, number: int):
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._program.request("call", self._number, arguments, keywords or None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._program.request("get", self._number, (name,))

    def __setattr__(self, name: str, value: Any) -> None:
        self._program.request("set", self._number, (name, value))

    def __getitem__(self, key: Any) -> Any:
        return self._program.request("item", self._number, (key,))

    def __len__(self) -> int:
        return self._program.request("len", self._number, ())

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Any:
        return self._program.request("iter", self._number, ())

    def __next__(self) -> Any:
        try:
            return self._program.request("next", self._number, ())
        except ProgramError as error:
            if error is self._program.raised and self._program.why.startswith("StopIteration:"):
                raise StopIteration from None
            raise


def blame(program: Program, error: BaseException, texts: dict[str, str]) -> tuple[str, str]:
    """Verdict and reason for an exception that ended the tests.

    It is the program's own exception, or a finding of the tests. texts: file name -> test code.

    Raises wire.Unsendable again, because then neither is to blame.
    """
    if isinstance(error, wire.Unsendable):
        raise error
    # A test swallowed the end of the program and then failed for another reason.
    if program.gone:
        return program.gone
    where = _place(error.__traceback__, texts)
    if error is program.raised:
        kind = {"MemoryError": "memory", "PermissionError": "forbidden"}.get(
            type(error).__name__, "error"
        )
        return kind, f"{program.why}{where}"
    if isinstance(error, NameError) and not program.calls:
        return "error", f"the program does not define {error.name}"
    if isinstance(error, MemoryError):
        return "memory", f"the tests ran out of memory{where}"
    return "fail", f"{type(error).__name__}{_words(error)}{where}"


def _words(error: BaseException) -> str:
    """The message of an exception, or nothing where it has no text.

    A message may show an answer that cannot be printed, such as an int that is too long.
    """
    try:
        text = str(error)
    except Exception:
        return ""
    return f": {text}" if text else ""


def _place(traceback: TracebackType | None, texts: dict[str, str]) -> str:
    """The line of the tests that was running, in words."""
    lines, line = [""], 0
    while traceback is not None:
        text = texts.get(traceback.tb_frame.f_code.co_filename)
        if text is not None:
            lines, line = text.splitlines(), traceback.tb_lineno
        traceback = traceback.tb_next
    return f" in `{lines[line - 1].strip()[:200]}`" if 0 < line <= len(lines) else ""
