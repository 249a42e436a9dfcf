"""What stands in the tests for the classes, functions and coroutines of a program.

A stand-in holds nothing but a way to ask: the jail answers each use. objects.py makes them. At the
end stands what is said of a program whose exception, or whose answer, ended the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import wire

if TYPE_CHECKING:
    from .objects import Objects
    from .program import Program

# What a class is asked for in the jail, though each class here has it, too.
_CLASS_NAMES = ("__members__", "__doc__", "__annotations__")


class Meta(type):
    """The class of the classes here. `__objects__` asks the jail for it."""

    __objects__: Objects

    def __new__(
        cls, name: str, bases: tuple[type, ...], space: dict[str, Any], ours: bool = False
    ) -> Any:
        if not ours:
            raise wire.Unsendable("a subclass of a class of the program")
        return super().__new__(cls, name, bases, space)

    def __init__(cls, name: str, bases: Any, space: Any, ours: bool = False):
        super().__init__(name, bases, space)

    def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
        return cls.__objects__.ask(cls, "call", arguments, keywords or None)

    def __getattribute__(cls, name: str) -> Any:
        # `mro` serves the interpreter itself.
        if name == "mro" or (name[:2] == "__" and name not in _CLASS_NAMES):
            try:
                return super().__getattribute__(name)
            except AttributeError:
                pass
        return cls.__objects__.ask(cls, "get", (name,))

    def __setattr__(cls, name: str, value: Any) -> None:
        cls.__objects__.ask(cls, "set", (name, value))

    def __instancecheck__(cls, value: Any) -> bool:
        return cls.__objects__.truth(cls, "is instance", value)

    def __subclasscheck__(cls, value: Any) -> bool:
        return cls is value or cls.__objects__.truth(cls, "is subclass", value)


class EnumMeta(Meta):
    """The class of the enumerations."""

    def __iter__(cls) -> Any:
        return cls.__objects__.ask(cls, "iter", ())

    def __len__(cls) -> Any:
        return cls.__objects__.ask(cls, "len", ())

    def __getitem__(cls, name: Any) -> Any:
        return cls.__objects__.ask(cls, "item", (name,))

    def __contains__(cls, value: Any) -> bool:
        return cls.__objects__.truth(cls, "is instance", value)


def attributes(objects: Objects) -> dict[str, Any]:
    """How the instances of a class get, set and delete attributes, and are copied."""

    def get(value: Any, name: str) -> Any:
        if name[:2] == "__" and name not in ("__dict__", "__doc__"):
            try:
                return object.__getattribute__(value, name)
            except AttributeError:
                pass
        return objects.ask(value, "get", (name,))

    def copied(operation: str) -> Callable[..., Any]:
        return lambda value, *_: objects.ask(value, operation, ())

    return {
        "__objects__": objects,
        "__getattribute__": get,
        "__setattr__": lambda value, name, given: objects.ask(value, "set", (name, given)),
        "__delattr__": lambda value, name: objects.ask(value, "delete", (name,)),
        "__dir__": lambda value: objects.ask(value, "list", ()),
        "__copy__": copied("copy"),
        "__deepcopy__": copied("deepcopy"),
    }


class Coroutine:
    """A coroutine of the program. It runs to its end in the jail when the tests wait for it."""

    def __init__(self, objects: Objects, number: int):
        self._objects, self._number = objects, number

    def send(self, value: Any) -> Any:
        raise StopIteration(self._objects._program.request("run", self._number, ()))

    def throw(self, *error: Any) -> Any:
        raise error[-1] if isinstance(error[-1], BaseException) else error[0]

    def close(self) -> None:
        """Nothing runs between two questions."""

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return self.send(None)


class Function:
    """A function of the program, or a class that a project has not described.

    target: its name among the program's globals, or its number.
    """

    def __init__(self, program: Program, target: str | int):
        vars(self).update(_program=program, _target=target)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._program.request("call", self._target, arguments, keywords or None)

    def __getattr__(self, name: str) -> Any:
        return self._program.request("get", self._target, (name,))

    def __setattr__(self, name: str, value: Any) -> None:
        self._program.request("set", self._target, (name, value))

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        return self._program.request("get", self._target, ("__doc__",))


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
