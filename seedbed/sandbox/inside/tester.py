"""The trusted tester: runs the data set's own test code, with the program's names as proxies of the
functions in the jail.

Confined like a jail, so a test that hangs or blows up is bounded too. Expected values live only
here. One process judges a few
programs, one after the other, all under the same tests: each has a channel of its own and meets
freshly executed tests, so a program can leave nothing to the next but what the tests themselves
leave in the standard library's modules.

A pass needs all of: the tests returned; they called the program at least once; nothing stands on
the channel that was not asked for.
"""

from __future__ import annotations

import builtins
import os
import random
from types import CodeType
from typing import Any

from . import project, wire
from .decoder import Decoder
from .lockdown import CHANNEL, ChildLimits, Locks, lock_down
from .program import Function, Program, ProgramGone, blame

# the channels to the jails follow
SUPERVISOR = CHANNEL


def run(
    locks: Locks, limits: ChildLimits, channels: list[int], supervisor: int, output_bytes: int
) -> None:
    """Child of the fork server: lock down, take the tests from the supervisor, then a program for
    each channel; reply (verdict, reason) to each.

    Tests are ("calls", setup, code, names) or ("project", files, command): see verdict.CallTests
    and verdict.ProjectTests.
    """
    lock_down(locks, limits, [supervisor, *channels])
    kind, *parts = Decoder(wire.receive(SUPERVISOR, 1 << 30)).values(4)
    tests = Calls(*parts) if kind == "calls" else project.Project(*parts)
    for channel in range(SUPERVISOR + 1, SUPERVISOR + 1 + len(channels)):
        (source,) = Decoder(wire.receive(SUPERVISOR, 1 << 30)).values(1)
        random.seed(0)
        try:
            verdict, reason = judge(Program(channel, output_bytes), source, tests)
        except wire.Unsendable as error:
            # ours, not the program's: the supervisor reports it as infrastructure
            verdict, reason = (
                "unsupported",
                f"the tests pass {error} to the program, which has no plain form",
            )
        os.close(channel)
        wire.send(SUPERVISOR, wire.frame(1 << 20, verdict, reason))


class Calls:
    """The test code of a problem (verdict.CallTests), compiled when it is first run: a fault in it
    is a verdict's matter.
    """

    def __init__(self, setup: str, code: str, names: tuple[str, ...]):
        self._setup, self._code, self._names = setup, code, names
        self._compiled: tuple[CodeType, CodeType] | None = None
        self.texts = {"<tests>": code}

    def run(self, program: Program, source: str) -> tuple[str, str] | None:
        """None where the tests held; else raises what ended them."""
        scope = Names(program, program.load(source), self._names)
        if self._compiled is None:
            setup = compile(self._setup, "<setup>", "exec", dont_inherit=True)
            self._compiled = setup, compile(self._code, "<tests>", "exec", dont_inherit=True)
        exec(self._compiled[0], scope)
        program.calls = 0
        exec(self._compiled[1], scope)
        return None


def judge(program: Program, source: Any, tests: Calls | project.Project) -> tuple[str, str]:
    """Verdict and reason of one program under its tests.

    Raises Unsendable for tests it cannot run sealed.
    """
    try:
        found = tests.run(program, source)
        clean = program.gone is None and program.answers_in_turn()
    except ProgramGone as gone:
        return gone.args
    except BaseException as error:
        return blame(program, error, tests.texts)
    if program.gone:
        return program.gone
    if found:
        return found
    if not program.calls:
        return "fail", "the tests never called the program"
    if not clean:
        return "error", "the program wrote to its channel, or ended, outside a call"
    return "pass", ""


class Names(dict):  # type: ignore[type-arg]
    """The tests' globals.

    A name that neither the tests nor Python define is the program's function of that name.
    """

    def __init__(self, program: Program, defined: frozenset[str], shadowed: tuple[str, ...]):
        super().__init__(__name__="tests", __builtins__=builtins)
        self._program = program
        self._names = {name for name in defined if name in shadowed or not hasattr(builtins, name)}

    def __missing__(self, name: str) -> Any:
        if name in self._names:
            function = self[name] = Function(self._program, name)
            return function
        raise KeyError(name)
