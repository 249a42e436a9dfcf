"""A program as the tests see it: the tester's end of the channel to the jail.

The end of the jail raises a BaseException, which a test's own `except Exception` cannot swallow.
What stands here for the program's objects is in objects.py, for a project's in project.py.
"""

from __future__ import annotations

import builtins
import dis
import importlib
import os
import sys
from collections.abc import Callable
from types import FunctionType, TracebackType
from typing import Any

from . import visitors, wire
from .decoder import Decoder
from .objects import Function, Objects
from .world import Changes

# Exceptions of the program that reach the tests as themselves. StopIteration does not, unless the
# calling line catches it: it would end a test's all(map(...)) early, as if that had passed.
RAISABLE = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type)
    and issubclass(kind, Exception)
    and not issubclass(kind, StopIteration)
    and not kind.__name__.endswith("Group")
}
# Those that end a project's tests with success, and are raised for test code only.
_ENDING = {kind.__name__: kind for kind in (SystemExit, KeyboardInterrupt, GeneratorExit)}
# Types of the first six values of jail._raised.
_RAISED = (str, str, tuple, str, int, tuple)
# Replies that end the program -> the verdict.
_DEATHS = {"exit": "error", "too_big": "output", "no_memory": "memory", "unsendable": "error"}


class ProgramError(Exception):
    """An exception of the program that has no safe built-in type."""


class ProgramGone(BaseException):
    """The program can answer no more calls. The arguments are a verdict and its reason."""


class Program:
    """The tester's end of the channel to the jail."""

    def __init__(
        self, channel: int, output_bytes: int, trusted: Callable[[str], bool] | None = None
    ):
        """trusted: as for Objects. Without it the program is a project's, whose objects are Remote."""
        self._channel, self._limit = channel, output_bytes
        # What the program may call or look at, and the place of each by its id().
        self._callbacks: list[Any] = []
        self._places: dict[int, int] = {}
        self.objects = Objects(self, trusted) if trusted is not None else None
        self._changes = Changes() if trusted is not None else None
        self.calls = 0
        self.gone: tuple[str, str] | None = None
        # Makes the proxy of an object of the program, from the object's number.
        self.stand_in: Callable[[int], Any] = lambda number: Remote(self, number)
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

    def _ask(
        self, operation: str, target: str | int, arguments: tuple[Any, ...], keywords: Any
    ) -> Any:
        encoder = wire.Encoder(1 << 28, opaque=self.reference, nodes=1 << 28)
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
            kind, value, _, updates = Decoder(data, owned, self._stand_in).values(4)
            if updates is not None:
                self._update(updates)
            return kind, value
        except (EOFError, OSError):
            self.end("gone", "the program's process ended")
        except wire.TooBig as error:
            self.end("output", str(error))
        except wire.Malformed as error:
            self.end("error", f"a malformed answer ({error})")
        raise AssertionError

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
            RAISABLE.get(base, ProgramError),
        )
        if self.objects is not None:
            kind = _ENDING.get(base, kind)
            if base == "StopIteration" and _is_caught():
                kind = StopIteration
            known = _library_exception(place, base)
            if known is not None:
                kind, arguments = known
        elif base in _ENDING:
            self.end("error", f"ended by {name}: {message}")
        try:
            made: BaseException = kind(*arguments)
        except Exception:
            made = _bare(kind, arguments) or ProgramError(name, *arguments)
        for word, content in attributes.items():
            if type(word) is str:
                vars(made)[word] = content
        self.raised = made
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
        answer = wire.Encoder(1 << 28, opaque=self.reference, nodes=1 << 28)
        try:
            used = self._callbacks[number]
            if isinstance(used, _Shown):
                result = used.use(*arguments, **(keywords or {}))
            else:
                result = used(*arguments, **(keywords or {}))
            answer.put("answer").put("return").put(result).put("")
        except Exception as error:
            # The words of an assertion may hold what the tests expect.
            text = "" if isinstance(error, AssertionError) else str(error)[:300]
            answer = wire.Encoder(1 << 28).put("answer").put("raise").put(text)
            answer.put(type(error).__name__)
        self._send(answer)

    def reference(self, value: Any) -> tuple[bytes, int, Any] | None:
        """How an object that has no plain form is passed to the program; None if it is not."""
        if isinstance(value, Remote):
            return b"H", value._number, None
        if self.objects is None:
            return self._visit(b"K", value, value, None) if callable(value) else None
        number = self.objects.number(value)
        if number is not None:
            return b"H", number, None
        if isinstance(value, Function):
            # A function that the tests know by its name.
            return b"H", self.objects.number(self._ask("value", value._target, (), None)) or 0, None
        shown = _shown(value)
        if shown:
            return self._visit(b"J", value, _Shown(value, shown), shown)
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
        return used.value if isinstance(used, _Shown) else used

    def exception_class(self, number: int, name: str, ancestry: Any) -> type[BaseException]:
        """The class here that stands for an exception class of the program.

        ancestry: what operations.ancestry_of gives. Raises wire.Malformed.
        """
        if type(ancestry) is not tuple or not ancestry or type(ancestry[-1]) is not str:
            raise wire.Malformed("an ancestry")
        kind: Any = RAISABLE.get(ancestry[-1], Exception)
        for part in reversed(ancestry[:-1]):
            if type(part) is not tuple or len(part) != 2:
                raise wire.Malformed("an ancestry")
            if part[1] in self.classes.values():
                kind = part[1]
        made = type(name, (kind,), {"__module__": "program"})
        self.classes[number] = made
        return made


class _Shown:
    """An object of the tests that the program may use, in the ways of `methods`."""

    def __init__(self, value: Any, methods: tuple[str, ...]):
        self.value, self._methods = value, methods

    def use(self, name: Any, *arguments: Any, **keywords: Any) -> Any:
        if type(name) is not str or name not in self._methods:
            raise AttributeError(name)
        if name in ("__getattribute__", "__setattr__"):
            word = arguments[0]
            if isinstance(self.value, FunctionType):
                public = word in visitors.FUNCTION_NAMES and name == "__getattribute__"
            else:
                public = type(word) is str and not word.startswith("_")
            if not public:
                raise AttributeError(word)
            return (
                getattr(self.value, word)
                if name == "__getattribute__"
                else setattr(self.value, *arguments)
            )
        if name == "__call__":
            return self.value(*arguments, **keywords)
        return getattr(type(self.value), name)(self.value, *arguments, **keywords)


def _shown(value: Any) -> tuple[str, ...]:
    """How the program may use an object of the tests; nothing for objects that stay here.

    Iterators may be advanced. Instances of the tests' own classes may be used by their public names
    and their special methods.
    """
    kind = type(value)
    if kind.__module__ == "tests" and not isinstance(value, type):
        special = [name for name in visitors.PASSED if callable(getattr(kind, name, None))]
        own = [name for name in special if getattr(object, name, None) is not getattr(kind, name)]
        return ("__getattribute__", "__setattr__", *own)
    if kind is FunctionType:
        return ("__call__", "__getattribute__")
    if hasattr(kind, "__next__") and kind.__module__ in ("builtins", "itertools"):
        return ("__iter__", "__next__")
    return ()


def _library_exception(place: Any, base: str) -> tuple[Any, Any] | None:
    """The class of the standard library at a place, and the arguments that make an exception."""
    if type(place) is not tuple or [type(part) for part in place] != [str, str, tuple]:
        return None
    module, name, arguments = place
    if module.split(".")[0] not in sys.stdlib_module_names:
        return None
    try:
        kind: Any = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    right = isinstance(kind, type) and issubclass(kind, RAISABLE.get(base, ()))
    return (kind, arguments) if right else None


def _bare(kind: Any, arguments: tuple[Any, ...]) -> BaseException | None:
    """An exception whose constructor wants other arguments, made without it."""
    if kind is ProgramError or issubclass(kind, UnicodeError):
        return None
    made: BaseException = kind.__new__(kind)
    made.args = arguments
    return made


def _is_caught() -> bool:
    """Whether the line of the tests that asked for this catches StopIteration itself."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename not in ("<tests>", "<setup>"):
        frame = frame.f_back
    parse: Any = getattr(dis, "_parse_exception_table", None)
    if frame is None or parse is None:
        return False
    for entry in parse(frame.f_code):
        if entry.start <= frame.f_lasti < entry.end and not entry.lasti:
            return _catches(frame.f_code, entry.target)
    return False


def _catches(code: Any, target: int) -> bool:
    """Whether the handler at `target` begins with `except StopIteration` or a class above it."""
    steps = [step for step in dis.get_instructions(code) if step.offset >= target][:3]
    names = ("StopIteration", "Exception", "BaseException")
    return (
        len(steps) == 3
        and steps[0].opname == "PUSH_EXC_INFO"
        and steps[1].opname.startswith("LOAD_")
        and steps[1].argval in names
        and steps[2].opname == "CHECK_EXC_MATCH"
    )


class Remote:
    """An object of a project that stays in the jail. Every use of it is a request."""

    __slots__ = ("_number", "_program")

    def __init__(self, program: Program, number: int):
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._program.request("call", self._number, arguments, keywords or None)

    def __setattr__(self, name: str, value: Any) -> None:
        self._program.request("set", self._number, (name, value))

    def __getitem__(self, key: Any) -> Any:
        return self._program.request("item", self._number, (key,))

    def __len__(self) -> int:
        return self._program.request("len", self._number, ())

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
    return f": {text[:200]}" if text else ""


def _place(traceback: TracebackType | None, texts: dict[str, str]) -> str:
    """The line of the tests that was running, in words."""
    lines, line = [""], 0
    while traceback is not None:
        text = texts.get(traceback.tb_frame.f_code.co_filename)
        if text is not None:
            lines, line = text.splitlines(), traceback.tb_lineno
        traceback = traceback.tb_next
    return f" in `{lines[line - 1].strip()[:200]}`" if 0 < line <= len(lines) else ""
