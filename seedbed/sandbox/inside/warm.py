"""Makes what the fork server's children do cheap: they find it rehearsed.

A forked page that is written to is copied, 4 KB each time. CPython specialises bytecode where it
stands, so a line that runs for the first time in a child is both slow and a page that is copied.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import preambles, syscalls, tester, wire
from .decoder import Decoder
from .jail import Jail
from .lockdown import CHANNEL
from .objects import Trust
from .program import Program

# CPython 3.12 specialises an instruction that has run twice.
_TIMES = 20
# Bytes of an answer.
_MOST = 1 << 20
_PROGRAM = """
def join(left, right):
    return left + right

def change(values, keep=True):
    values.append({"k": None, "s": {1, 2}})
    return len(values), 2.5, keep
"""
_TESTS = """
assert join(1, 2) == 3
assert join("a", "b") == "ab"
assert join([1, 2, 3, 4], [5]) == [1, 2, 3, 4, 5]
assert join([(2, 3)], [1.5]) == [(2, 3), 1.5]
assert change([[], {}], keep=False) == (3, 2.5, False)
"""


@contextmanager
def without_fork_hooks() -> Iterator[None]:
    """Let modules that are imported meanwhile leave no hook for forks (os.register_at_fork).

    A child has one thread and no lock is held when it is made, so there is nothing to mend. The
    hook of `threading` copies 70 pages, that of `random` draws a seed which lock_down replaces.
    """
    register = os.register_at_fork
    os.register_at_fork = lambda **hooks: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.register_at_fork = register


def settle() -> None:
    """Keep all that there is for good: no child frees it or looks it over."""
    gc.collect()
    # A fork and its end take 0.1 us for each page that is mapped, used or not.
    syscalls.trim_heap()
    gc.freeze()
    gc.disable()


def rehearse() -> None:
    """Run what every child will run, so that the interpreter specialises its bytecode here.

    This process plays a jail and then a tester, and a child of its own plays the other part. Raises
    RuntimeError where the program that must pass does not.
    """
    preambles.name_exits()
    for mine, others in ((_play_jail, _play_tester), (_play_tester, _play_jail)):
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                _with_channel(theirs, others)
            finally:
                os._exit(0)
        theirs.close()
        _with_channel(ours, mine)
        os.waitpid(pid, 0)
    sys.modules.pop("solution", None)


def _with_channel(end: socket.socket, play: Callable[[], None]) -> None:
    """Run `play` with the socket at the place of a child's channel, and then close it."""
    # The fork server's own descriptors are above that of a channel, or at it.
    kept = os.dup(CHANNEL)
    os.dup2(end.fileno(), CHANNEL)
    end.close()
    play()
    os.dup2(kept, CHANNEL)
    os.close(kept)


def _play_jail() -> None:
    for _ in range(_TIMES):
        (source,) = Decoder(wire.receive(CHANNEL, _MOST)).values(1)
        wire.send(CHANNEL, b"")
        played = Jail(_MOST, whole=True)
        played.load(source)
        operation = ""
        while operation != "close":
            data, decoder, request = played.request()
            operation = request[0]
            played.answer(data, decoder, request)


def _play_tester() -> None:
    tests = tester.Calls("", _TESTS, ())
    for _ in range(_TIMES):
        program = Program(CHANNEL, _MOST, Trust(()))
        verdict, reason = tester.judge(program, _PROGRAM, tests)
        program.close()
        if verdict != "pass":
            raise RuntimeError(f"the rehearsal ended with {verdict}: {reason}")
