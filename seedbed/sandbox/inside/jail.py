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
from types import ModuleType
from typing import Any

from . import preambles, rootfs, wire
from .decoder import Decoder
from .lockdown import CHANNEL, ChildLimits, Locks, lock_down
from .operations import (
    OPERATIONS,
    content,
    describe,
    left,
    names,
    raised,
)
from .visitors import Callback, Followed, Visitor, answer, make
from .world import World


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
    jail = Jail(output_bytes, whole=type(source) is str)
    jail.load(source)
    while True:
        jail.answer(*jail.request())


_MUTABLE = (list, dict, set, bytearray)


class Jail:
    """The program's names and the objects it has handed out."""

    def __init__(self, output_bytes: int, whole: bool):
        """whole: objects are described when they go out. A project's are looked at by request."""
        self._limit, self._whole, self._world = output_bytes, whole, World()
        self._names: dict[str, Any] = {}
        self._handles: list[Any] = []
        # id() of an object that was handed out -> its number.
        self._numbers: dict[int, int] = {}
        # Number -> what stands here for an object of the tests.
        self._visitors: dict[int, Any] = {}
        # Numbers whose description has gone out, and those of the frame that is being written.
        self._described: set[int] = set()
        self._fresh: set[int] = set()
        # Numbers of described objects whose content may change.
        self._mutable: list[int] = []
        # Numbers of the containers that go out shared with the next reply.
        self._newly_shared: list[int] = []
        self._followed = Followed(lambda value: bytes(self._encode(1 << 30, {}, value)))
        # Whether they were given up since the last reply.
        self._forgotten = False
        # Those of the call that is under way, and the bytes of its request.
        self._arguments: tuple[list[Any], int] = [], 0

    def load(self, source: str | tuple[tuple[str, str], ...]) -> None:
        """Run the program's top level, and reply with the names of its functions and classes.

        The files of a project run later, when the tests import them.
        """
        try:
            if type(source) is str:
                self._names = _run(source, "solution")
            else:
                sys.path.insert(0, rootfs.PROJECT)
            self._reply("return", names(self._names))
        except BaseException as error:
            self._reply(*(raised(error) if isinstance(error, Exception) else left(error)))

    def request(self) -> tuple[bytes, Decoder, list[Any]]:
        """Wait for the next request, and give its bytes, its decoder and its four values.

        The values are operation, target, arguments and keywords.
        """
        data = wire.receive(CHANNEL, 1 << 30)
        decoder = Decoder(data, self._followed.values, self._local, nodes=1 << 30)
        try:
            return data, decoder, decoder.values(4)
        except MemoryError:
            self._reply("no_memory", "nothing: its arguments fill the memory")
            raise EOFError from None

    def answer(self, data: bytes, decoder: Decoder, request: list[Any]) -> None:
        """Run one operation, and reply with what it returned or raised.

        The arguments go back too, if the operation changed them, and so do those of earlier calls
        that the program keeps.
        """
        operation, target, arguments, keywords = request
        # The last request of the tester. The reply is the token that it sent.
        if operation == "close":
            self._reply("return", *arguments)
            return
        if decoder.updated:
            # What came with the request is no change of the program's.
            self._look_after_followed()
        before = self._followed.counts(decoder.mutables, len(data)) if self._whole else []
        outer, self._arguments = self._arguments, (decoder.mutables, len(data))
        try:
            subject: Any = self._names.get(target) if type(target) is str else self._handles[target]
            if operation == "world":
                outcome: tuple[str, Any] = "return", self._world.change(*arguments)
            elif operation == "printed":
                outcome = "return", self._world.printed()
            elif operation in ("follow", "forget"):
                # What the tests have changed has come with the request.
                if operation == "forget":
                    self._followed.forget()
                outcome = "return", None
            elif operation == "call":
                outcome = "return", subject(*arguments, **(keywords or {}))
            else:
                outcome = "return", OPERATIONS[operation](subject, *arguments)
                if operation == "get" and self._whole and type(outcome[1]) in _MUTABLE:
                    outcome = "shared", (self._shared(outcome[1]), outcome[1])
        except BaseException as error:
            outcome = raised(error)
        self._arguments = outer
        changed: Any = None
        if decoder.mutables and self._differs(request, data):
            changed = (arguments, keywords)
        if self._look_after_followed():
            changed = (changed, tuple(self._followed.values))
        payload = self._payload(*outcome, changed, self._followed.places(decoder.mutables))
        # What goes out is held by the tests, and no longer by the program.
        subject = outcome = changed = None
        kept = self._followed.kept(decoder.mutables, before, len(data))
        self._send(payload, kept)
        self._followed.add([decoder.mutables[place] for place in kept])

    def _look_after_followed(self) -> bool:
        """Whether an argument that the program keeps has changed since the last look."""
        try:
            return self._followed.changed()
        except BaseException:
            # One that has no plain form any more, or has grown.
            self._followed.forget()
            self._forgotten = True
            return False

    def _differs(self, request: list[Any], data: bytes) -> bool:
        """Whether the call has changed its arguments, so that they no longer encode to `data`."""
        try:
            return self._encode(1 << 30, self._followed.places(), *request) != data
        except BaseException:
            return True

    def _encode(self, limit: int, known: dict[int, int], *values: Any) -> bytearray:
        self._fresh = set()
        encoder = wire.Encoder(limit, known, self._reference, coerce=not self._whole)
        for value in values:
            encoder.put(value)
        return encoder.out

    def _reply(self, kind: str, value: Any) -> None:
        self._send(self._payload(kind, value, None, {}), [])

    def _send(self, payload: bytearray, kept: list[int]) -> None:
        """A reply ends in the places of arguments to follow, after whether all others are not."""
        told = (self._forgotten, *kept) if kept or self._forgotten else None
        self._forgotten = False
        wire.send(CHANNEL, payload + wire.frame(1 << 20, told))

    def _payload(self, kind: str, value: Any, changed: Any, known: dict[int, int]) -> bytearray:
        try:
            payload = self._encode(self._limit, known, kind, value, changed, self._updates())
        except wire.TooBig as error:
            payload = self._encode(4096, {}, "too_big", str(error), None, None)
        except MemoryError:
            text = "a value that memory cannot hold"
            payload = self._encode(4096, {}, "no_memory", text, None, None)
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"[:300]
            payload = self._encode(4096, {}, "unsendable", text, None, None)
        self._described |= self._fresh
        self._mutable += self._newly_shared
        self._newly_shared = []
        self._mutable += [
            number for number in self._fresh if isinstance(self._handles[number], _MUTABLE)
        ]
        return payload

    def _shared(self, value: Any) -> int:
        """The number of a plain container that an object and the tests both hold from now on."""
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._handles)
            self._handles.append(value)
            self._newly_shared.append(number)
        return number

    def _updates(self) -> list[tuple[int, Any]] | None:
        """The contents of the mutable objects that the tests have, where there are any."""
        return [(number, content(self._handles[number])) for number in self._mutable] or None

    def _reference(self, value: Any) -> tuple[bytes, int, Any]:
        """Keep an object here, and give its number with a description if it goes out anew."""
        if type(value) is Callback or isinstance(value, Visitor):
            return b"K", value.number, None
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._handles)
            self._handles.append(value)
        if not self._whole or number in self._described or number in self._fresh:
            return b"H", number, None
        self._fresh.add(number)
        return b"O", number, describe(value)

    def _local(self, tag: bytes, number: int, methods: Any) -> Any:
        if tag == b"H":
            return self._handles[number]
        if number not in self._visitors:
            visitor = Callback(self.ask, number) if tag == b"K" else make(self.ask, number, methods)
            self._visitors[number] = visitor
        return self._visitors[number]

    def ask(self, number: int, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Call a function that the tests passed in, or use an object of theirs.

        It runs in the tester, which may call the program again before it answers.
        """
        given, size = self._arguments
        shown = self._followed.shown(given, size) if self._whole else []
        fresh = [given[place] for place in shown]
        moved = tuple(self._followed.values) if self._look_after_followed() else ()
        called, known = (number, arguments, keywords or None), self._followed.places(given)
        self._send(self._payload("callback", called, (fresh, moved), known), shown)
        self._followed.add(fresh)
        while True:
            data, decoder, request = self.request()
            if request[0] == "answer":
                return answer(request)
            self.answer(data, decoder, request)


def run_plain(locks: Locks, limits: ChildLimits, channel: int) -> None:
    """Body of a jail: runs a program with its tests beside it, as an ordinary interpreter does.

    Reports the outcome that the tests had. The program can forge this report, so it only counts
    against a program, or beside a sealed pass.
    """
    source, setup, code, shadowed = Decoder(wire.receive(channel, 1 << 30)).values(4)
    lock_down(locks, limits, [channel])
    preambles.install(limits.memory_bytes)
    wire.send(CHANNEL, b"")
    report = "pass", ""
    try:
        program = _run(source, "solution")
        scope = {
            name: value
            for name, value in program.items()
            if name in shadowed or not (name[:2] == "__" or hasattr(builtins, name))
        }
        scope.update(__name__="tests", __builtins__=builtins)
        exec(compile(setup, "<setup>", "exec", dont_inherit=True), scope)
        exec(compile(code, "<tests>", "exec", dont_inherit=True), scope)
    except BaseException as error:
        kinds = {"AssertionError": "fail", "MemoryError": "memory", "PermissionError": "forbidden"}
        name = type(error).__name__
        report = kinds.get(name, "error"), f"{name}: {error}"[:300]
    wire.send(CHANNEL, wire.frame(1 << 16, *report))
    os._exit(0)


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
        code, report = 1, ("raise", raised(error)[1][:5])
    wire.send(CHANNEL, wire.frame(1 << 16, *report))
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
    # A file may begin with a byte order mark, which `compile` refuses in a text.
    source = source.removeprefix("\ufeff")
    exec(compile(source, "<program>", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__
