"""The process of the program. It receives source, then calls or stdin, and never sees a test.

There are two ways to run a program:
- `serve_calls` defines it, then answers the tester's calls of its functions. Answers are plain
  values. Objects without a plain form (instances, generators) stay here and go out as numbers.
- `run_script` runs it once as __main__ with a given stdin. The supervisor reads its stdout.

Everything in this process belongs to the program once its code runs. Whatever it patches, it can
only change its own answers.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import gc
import os
import sys
from types import ModuleType, TracebackType
from typing import Any

from . import preambles, rootfs, wire
from .decoder import Decoder
from .lockdown import CHANNEL, ChildLimits, Locks, lock_down
from .operations import OPERATIONS, ancestry_of


def serve_calls(locks: Locks, limits: ChildLimits, channel: int, output_bytes: int) -> None:
    """Body of a jail: locks itself down, loads the program that arrives, and answers calls.

    It ends when the tester closes the channel.
    """
    (source,) = Decoder(wire.receive(channel, 1 << 30)).values(1)
    folder = "/" if type(source) is str else rootfs.unpack(source)
    lock_down(locks, limits, [channel], folder=folder)
    preambles.install(limits.memory_bytes)
    # From here on, the program is to blame for whatever ends this process.
    wire.send(CHANNEL, b"")
    jail = Jail(output_bytes)
    jail.load(source)
    while True:
        jail.answer(*jail.request())


class Jail:
    """The program's names and the objects it has handed out."""

    def __init__(self, output_bytes: int):
        self._limit = output_bytes
        self._names: dict[str, Any] = {}
        self._handles: list[Any] = []
        # id() of an object that was handed out -> its number.
        self._numbers: dict[int, int] = {}

    def load(self, source: str | tuple[tuple[str, str], ...]) -> None:
        """Run the program's top level, and reply with the names of its functions and classes.

        The files of a project run later, when the tests import them.
        """
        try:
            if type(source) is str:
                self._names = _run(source, "solution")
            else:
                sys.path.insert(0, rootfs.PROJECT)
            self._reply(
                "return", tuple(name for name, value in self._names.items() if callable(value))
            )
        except BaseException as error:
            self._reply(*_raised(error))

    def request(self) -> tuple[bytes, Decoder, list[Any]]:
        """Wait for the next request, and give its bytes, its decoder and its four values.

        The values are operation, target, arguments and keywords.
        """
        data = wire.receive(CHANNEL, 1 << 30)
        decoder = Decoder(data, opaque=self._local)
        return data, decoder, decoder.values(4)

    def answer(self, data: bytes, decoder: Decoder, request: list[Any]) -> None:
        """Run one operation, and reply with what it returned or raised.

        The arguments go back too, if the operation changed them.
        """
        operation, target, arguments, keywords = request
        # The last request of the tester. The reply is the token that it sent.
        if operation == "close":
            self._reply("return", *arguments)
            return
        try:
            subject: Any = self._names.get(target) if type(target) is str else self._handles[target]
            if operation == "call":
                outcome = "return", subject(*arguments, **(keywords or {}))
            else:
                outcome = "return", OPERATIONS[operation](subject, *arguments)
        except BaseException as error:
            outcome = _raised(error)
        known = {id(value): index for index, value in enumerate(decoder.mutables)}
        changed = (arguments, keywords) if known and self._differs(request, data) else None
        self._reply(*outcome, changed, known)

    def _differs(self, request: list[Any], data: bytes) -> bool:
        """Whether the call has changed its arguments, so that they no longer encode to `data`."""
        try:
            return self._encode(1 << 30, {}, *request) != data
        except BaseException:
            return True

    def _encode(self, limit: int, known: dict[int, int], *values: Any) -> bytearray:
        encoder = wire.Encoder(limit, known, self._reference, coerce=True)
        for value in values:
            encoder.put(value)
        return encoder.out

    def _reply(
        self, kind: str, value: Any, changed: Any = None, known: dict[int, int] | None = None
    ) -> None:
        try:
            payload = self._encode(self._limit, known or {}, kind, value, changed)
        except wire.TooBig as error:
            payload = self._encode(4096, {}, "too_big", str(error), None)
        except MemoryError:
            payload = self._encode(4096, {}, "no_memory", "a value that memory cannot hold", None)
        except BaseException as error:
            payload = self._encode(
                4096, {}, "unsendable", f"{type(error).__name__}: {error}"[:300], None
            )
        wire.send(CHANNEL, payload)

    def _reference(self, value: Any) -> tuple[bytes, int]:
        """Keep an object here and give its number."""
        if type(value) is Callback:
            return b"K", value.number
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._handles)
            self._handles.append(value)
        return b"H", number

    def _local(self, tag: bytes, number: int) -> Any:
        return self._handles[number] if tag == b"H" else Callback(self, number)

    def call_back(self, number: int, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Call a function that the tests passed in.

        It runs in the tester, which may call the program again before it answers.
        """
        self._reply("callback", (number, arguments, keywords or None))
        while True:
            data, decoder, request = self.request()
            if request[0] != "answer":
                self.answer(data, decoder, request)
            elif request[1] == "return":
                return request[2]
            else:
                raise RuntimeError(f"the function passed in raised {request[2]}")


class Callback:
    """Stands for a function of the tests."""

    def __init__(self, jail: Jail, number: int):
        self._jail, self.number = jail, number

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._jail.call_back(self.number, arguments, keywords)


def run_script(locks: Locks, limits: ChildLimits, channel: int, stdout: int) -> None:
    """Body of a jail: runs the program that arrives as __main__, and reports how it ended.

    The stdin arrives with the program. A program is a text, or a pair (files, command): a project
    that runs together with its tests.
    """
    source, stdin = Decoder(wire.receive(channel, 1 << 30)).values(2)
    # Stdin is a file, so that input larger than a pipe needs no process that writes it.
    given = os.memfd_create("stdin")
    with open(given, "wb", closefd=False) as file:
        file.write(stdin)
    os.lseek(given, 0, os.SEEK_SET)
    folder = "/" if type(source) is str else rootfs.unpack(source[0])
    lock_down(locks, limits, [channel], stdin=given, stdout=stdout, folder=folder)
    preambles.install(limits.memory_bytes)
    wire.send(CHANNEL, b"")
    code, report = 0, ("return", "")
    try:
        if type(source) is str:
            _run(source, "__main__")
        else:
            _run_command(source[1])
    except SystemExit as error:
        code = error.code if type(error.code) is int else int(error.code is not None)
        report = "exit", f"exit code {code}"
    except BaseException as error:
        code, report = 1, _raised(error)
    wire.send(CHANNEL, wire.frame(4096, *report))
    _end()
    os._exit(code & 0xFF)


def _end() -> None:
    """What the interpreter's own end does for a program (Py_FinalizeEx and finalize_modules).

    Waits for threads, calls what `atexit` knows, flushes files, and lets the program's objects go.
    The real end also takes down the library, which costs 15 ms of copied pages.
    """
    threading: Any = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    _flush()
    scope = sys.modules["__main__"].__dict__
    names = [name for name in scope if name != "__builtins__"]
    # Python clears the names with one leading underscore first.
    for name in sorted(names, key=lambda name: not (name[0] == "_" and name[:2] != "__")):
        scope[name] = None
    sys.stdin, sys.stdout = sys.__stdin__, sys.__stdout__
    gc.collect()
    _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        # A program may have closed it, or put something else in its place.
        with contextlib.suppress(Exception):
            stream.flush()


def _run_command(command: tuple[str, ...]) -> None:
    """`python -m MODULE ...` or `python FILE ...` in the project's folder, in this process."""
    import runpy

    sys.path.insert(0, rootfs.PROJECT)
    if command[1] == "-m":
        sys.argv = list(command[2:])
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(command[1:])
        runpy.run_path(command[1], run_name="__main__")


def _run(source: str, name: str) -> dict[str, Any]:
    """Execute a program as a module of the given name, and give its globals.

    dataclasses and typing look the module up by its name.
    """
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = "/program.py"
    # Scripts expect these names, which the module `site` adds.
    vars(builtins).update(exit=sys.exit, quit=sys.exit)
    # A file may begin with a byte order mark, which `compile` refuses in a text.
    source = source.removeprefix("\ufeff")
    exec(compile(source, "<program>", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _raised(error: BaseException) -> tuple[str, Any]:
    """An exception as a reply.

    Six values: the nearest built-in base, its own name, plain arguments, the message, the program's
    line (or 0), and its classes below that base, the most derived one first.
    """
    if not isinstance(error, Exception):
        return "exit", f"{type(error).__name__}: {error}"[:300]
    *classes, base = ancestry_of(type(error))
    arguments = tuple(
        value if type(value) in (int, float, bool, str) else str(value)[:500]
        for value in error.args[:5]
    )
    return "raise", (
        base,
        type(error).__name__,
        arguments,
        str(error)[:300],
        _line(error.__traceback__),
        tuple(kind for _, kind in classes),
    )


def _line(traceback: TracebackType | None) -> int:
    """The program's line that was running; 0 if none was."""
    line = 0
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<program>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
