"""A program as the tests see it: the tester's end of the channel to the jail.

The end of the jail raises a BaseException, which a test's own `except Exception` cannot swallow.
What stands here for the program's objects is in objects.py, for a project's in project.py.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

from . import values, visitors, wire
from .decoder import Decoder
from .objects import Objects, Trust
from .operations import attributes_of
from .stand_ins import Function
from .world import Changes

# Types of the first six values of operations.raised.
_RAISED = (str, str, tuple, str, int, tuple)
# Replies that end the program -> the verdict.
_DEATHS = {"exit": "error", "too_big": "output", "no_memory": "memory", "unsendable": "error"}


# Where an exception here keeps the words of the one in the jail. No attribute of it begins so.
_WORDS = "__words__"


class ProgramError(Exception):
    """An exception of the program that has no safe built-in type."""


class ProgramGone(BaseException):
    """The program can answer no more calls. The arguments are a verdict and its reason."""


class Program:
    """The tester's end of the channel to the jail."""

    def __init__(self, channel: int, output_bytes: int, trust: Trust | None = None):
        """trust: as for Objects. Without it the program is a project's (project.py)."""
        self._channel, self._limit = channel, output_bytes
        # What the program may call or look at, and the place of each by its id().
        self._callbacks: list[Any] = []
        self._places: dict[int, int] = {}
        self.objects = Objects(self, trust) if trust is not None else None
        self._changes = Changes() if trust is not None else None
        # Arguments of the tests that the program keeps.
        self.followed = visitors.Followed(self.image)
        self.calls = 0
        self.gone: tuple[str, str] | None = None
        # Makes the proxy of an object of the program, from the object's number.
        self.stand_in: Callable[[int], Any] = lambda number: None
        # The number of a project's object; None for all else.
        self.number_of: Callable[[Any], int | None] = lambda value: None
        # Number -> an exception class of the program that the tests know.
        self.classes: dict[int, type[Exception]] = {}
        # The last exception that came from the program, and the same in words.
        self.raised: BaseException | None = None
        self.why = ""

    def load(self, source: Any) -> list[Any]:
        """Send the program to the jail, and give the names that it defines.

        source: a text, or pairs (path, text). The names are those of functions, those of other
        values, and pairs of a name and the module that it means; files give none.
        """
        try:
            wire.send(self._channel, wire.frame(1 << 30, source))
            # An empty frame says that the jail is locked down. No line of the program has run yet.
            wire.receive(self._channel, 0)
        except (EOFError, OSError):
            self.end("infrastructure", "the jail could not be set up")
        names = self._reply([])
        if type(names) is not tuple or [type(part) for part in names] != [tuple] * 3:
            self.end("error", "a malformed answer")
        return list(names)

    def request(
        self, operation: str, target: str | int, arguments: tuple[Any, ...], keywords: Any = None
    ) -> Any:
        """Ask for one operation on an object of the program, and give its value.

        target: the object's name or number. Raises what the operation raised there.
        """
        if self.gone:
            raise ProgramGone(*self.gone)
        # Test code may also use a program by the attributes of its classes.
        if operation == "call" or (self.objects is not None and operation != "value"):
            self.calls += 1
        if self._changes is not None:
            changes = self._changes.take()
            if changes:
                self._ask("world", "", (changes,), None)
        self._tell_followed()
        for number, content in self.objects.changed() if self.objects else ():
            self._ask("fill", number, (content,), None)
        try:
            return self._ask(operation, target, arguments, keywords)
        finally:
            if self._changes is not None and self._changes.captures and not self.gone:
                text = self._ask("printed", "", (), None)
                if type(text) is str and text:
                    sys.stdout.write(text)

    def close(self) -> None:
        """Undo what the tests of this program left in the tester."""
        if self._changes is not None:
            self._changes.close()

    def image(self, value: Any) -> bytes:
        """A value as bytes, to see whether it has changed."""
        encoder = wire.Encoder(1 << 28, opaque=self.reference, nodes=1 << 28)
        return bytes(encoder.put(value).out)

    def _tell_followed(self) -> None:
        """Tell the program what the tests have changed in arguments that it keeps."""
        try:
            if self.followed.changed():
                self._ask("follow", "", (tuple(self.followed.values),), None)
        except (wire.Unsendable, wire.TooBig, OverflowError):
            # Without a plain form, or large. The program is told that it keeps them alone.
            self.followed.forget()
            self._ask("forget", "", (), None)

    def _ask(
        self, operation: str, target: str | int, arguments: tuple[Any, ...], keywords: Any
    ) -> Any:
        known = self.followed.places()
        encoder = wire.Encoder(1 << 28, known, opaque=self.reference, nodes=1 << 28)
        try:
            encoder.put(operation).put(target).put(arguments).put(keywords)
        except wire.TooBig as error:
            raise wire.Unsendable(str(error)) from None
        self._send(encoder)
        return self._reply(encoder.mutables)

    def answers_in_turn(self) -> bool:
        """Whether the channel is clean.

        An answer that nobody asked for would come before the token that is sent here.
        """
        token = os.urandom(8).hex()
        self._send(wire.Encoder(4096).put("close").put("").put((token,)).put(None))
        kind, value = self._receive([])
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
            kind, value = self._receive(owned)
            if kind == "return":
                return value
            if kind == "shared" and self.objects and type(value) is tuple and len(value) == 2:
                return self.objects.share(*value)
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

    def _receive(self, owned: list[Any]) -> tuple[Any, Any]:
        try:
            data = wire.receive(self._channel, self._limit)
            theirs = [*owned, *self.followed.values]
            kind, value, _, updates, kept = Decoder(data, theirs, self._stand_in).values(5)
            if updates is not None:
                self._update(updates)
            self._follow(kept, owned)
            return kind, value
        except (EOFError, OSError):
            self.end("gone", "the program's process ended")
        except wire.TooBig as error:
            self.end("output", str(error))
        except wire.Malformed as error:
            self.end("error", f"a malformed answer ({error})")
        raise AssertionError

    def _follow(self, kept: Any, owned: list[Any]) -> None:
        """Note what the program has changed in arguments that it keeps, and which ones are new."""
        try:
            self.followed.moved |= self.followed.changed()
        except (wire.Unsendable, wire.TooBig, OverflowError):
            raise wire.Malformed("the content of an argument") from None
        if kept is None:
            return
        if type(kept) is not tuple or [type(part) for part in kept] != [bool] + [int] * (
            len(kept) - 1
        ):
            raise wire.Malformed("arguments to follow")
        forgotten, *places = kept
        if forgotten:
            self.followed.forget()
        if not all(0 <= place < len(owned) for place in places):
            raise wire.Malformed("an unknown argument")
        self.followed.add([owned[place] for place in places])

    def _update(self, updates: Any) -> None:
        if self.objects is None or type(updates) is not list:
            raise wire.Malformed("updates")
        for update in updates:
            if type(update) is not tuple or len(update) != 2 or type(update[0]) is not int:
                raise wire.Malformed("an update")
            self.objects.update(*update)

    def _exception(self, value: Any) -> BaseException:
        if (
            type(value) is not tuple
            or len(value) != 8
            or tuple(map(type, value[:6])) != _RAISED
            or type(value[7]) is not dict
        ):
            self.end("error", "a malformed answer")
        base, name, arguments, message, line, classes, place, attributes = value
        kind = next(
            (found for found in classes if found in self.classes.values()),
            values.RAISABLE.get(base, ProgramError),
        )
        if self.objects is not None:
            kind = values.ENDING.get(base, kind)
            if base == "StopIteration" and values.is_caught():
                kind = StopIteration
            known = values.library_exception(place, base)
            if known is not None:
                kind, arguments = known
        elif base in values.ENDING:
            self.end("error", f"ended by {name}: {message}")
        try:
            made: BaseException = kind(*arguments)
        except Exception:
            made = values.bare(kind, arguments) or ProgramError(name, *arguments)
        if base.endswith("Group") and self.objects is not None:
            self.objects.cannot("the program raised a group of exceptions")
        self._blame_cause(made, attributes.pop("__cause__", None))
        for word, content in attributes.items():
            if type(word) is str:
                vars(made)[word] = content
        if kind in self.classes.values():
            vars(made)[_WORDS] = message
        self.raised = made
        self.why = f"{name}: {message}" + (f" (program line {line})" if line else "")
        return self.raised

    def _blame_cause(self, made: BaseException, cause: Any) -> None:
        """Gives an exception what it was raised from, which is None where nothing tells it."""
        if type(cause) is tuple and len(cause) == 2 and type(cause[1]) is tuple:
            kind = values.RAISABLE.get(cause[0], ProgramError)
            with contextlib.suppress(Exception):
                made.__cause__ = kind(*cause[1])

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
        known = self.followed.places()
        answer = wire.Encoder(1 << 28, known, opaque=self.reference, nodes=1 << 28)
        try:
            used = self._callbacks[number]
            if isinstance(used, visitors.Shown):
                result = used.use(*arguments, **(keywords or {}))
            else:
                result = used(*arguments, **(keywords or {}))
            self._tell_followed()
            answer.put("answer").put("return").put(result).put("")
        except Exception as error:
            answer = self._failure(error)
        self._send(answer)

    def _failure(self, error: Exception) -> wire.Encoder:
        """An exception of the tests' own code as an answer to the program that called it.

        One of the program's own classes arrives as it is.
        """
        # The words of an assertion may hold what the tests expect.
        told: Any = "" if isinstance(error, AssertionError) else str(error)[:300]
        if self.objects is not None and self.objects.number(type(error)) is not None:
            whole = wire.Encoder(1 << 20, opaque=self.reference, nodes=1 << 16)
            with contextlib.suppress(wire.TooBig, wire.Unsendable):
                given = error.args if told else ()
                return whole.put("answer").put("raise").put(given).put(type(error))
        answer = wire.Encoder(1 << 28).put("answer").put("raise").put(told)
        return answer.put(type(error).__name__)

    def reference(self, value: Any) -> tuple[bytes, int, Any] | None:
        """How an object that has no plain form is passed to the program; None if it is not."""
        if self.objects is None:
            number = self.number_of(value)
            if number is not None:
                return b"H", number, None
            return self._visit(b"K", value, value, None) if callable(value) else None
        number = self.objects.number(value)
        if number is not None:
            return b"H", number, None
        if isinstance(value, Function):
            # A function that the tests know by its name.
            return b"H", self.objects.number(self._ask("value", value._target, (), None)) or 0, None
        shown = visitors.shown(value)
        if shown:
            return self._visit(b"J", value, visitors.Shown(value, shown), shown)
        return self._visit(b"K", value, value, None) if callable(value) else None

    def _visit(self, tag: bytes, value: Any, used: Any, shown: Any) -> tuple[bytes, int, Any]:
        place = self._places.get(id(value))
        if place is None:
            place = self._places[id(value)] = len(self._callbacks)
            self._callbacks.append(used)
        return tag, place, shown

    def _stand_in(self, tag: bytes, number: int, info: Any) -> Any:
        if tag in b"HO":
            return self.objects.of(number, info) if self.objects else self.stand_in(number)
        if number >= len(self._callbacks):
            raise wire.Malformed("an unknown function")
        used = self._callbacks[number]
        return used.value if isinstance(used, visitors.Shown) else used

    def exception_class(
        self, number: int, name: str, ancestry: Any, told: Any = None
    ) -> type[BaseException]:
        """The class here that stands for an exception class of the program.

        ancestry: what operations.ancestry_of gives. told: its plain attributes, if there are any.
        Raises wire.Malformed.
        """
        if type(ancestry) is not tuple or not ancestry or type(ancestry[-1]) is not str:
            raise wire.Malformed("an ancestry")
        kind: Any = values.RAISABLE.get(ancestry[-1], Exception)
        builtin = kind
        for part in reversed(ancestry[:-1]):
            if type(part) is not tuple or len(part) != 2:
                raise wire.Malformed("an ancestry")
            if part[1] in self.classes.values():
                kind = part[1]
        # Nothing but plain values under plain names: a special method would be asked by the tests.
        given = attributes_of(told) if type(told) is dict else {}
        space = {word: value for word, value in given.items() if not hasattr(builtin, word)}
        space |= {"__module__": "program", "__str__": _said}
        bases = (kind,) if issubclass(kind, builtin) else (kind, builtin)
        try:
            made = type(name, bases, space)
        except TypeError:
            # Two built-in exceptions of different layouts.
            made = type(name, (kind,), space)
        self.classes[number] = made
        return made


def _said(error: BaseException) -> str:
    """What an exception of the program says: its own words, where it was raised there."""
    return str(vars(error).get(_WORDS, BaseException.__str__(error)))
