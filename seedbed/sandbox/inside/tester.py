"""The trusted tester: runs the data set's own test code on proxies of the program's functions.

Expected values exist only here. The tester is confined like a jail, so tests that hang or fill the
memory are bounded, too.

One process judges a few programs, one after the other, all by the same tests. Each program has a
channel of its own, and the tests are executed anew for it. So a program can leave nothing to the
next one but what the tests themselves leave in modules of the standard library.

A program passes if the tests returned, if they called it at least once, and if nothing is on the
channel that was not asked for.
"""

from __future__ import annotations

import builtins
import importlib
import os
import random
import sys
from types import CodeType
from typing import Any

from . import preambles, project, wire
from .decoder import Decoder
from .lockdown import CHANNEL, ChildLimits, Locks, lock_down
from .objects import Trust
from .program import Program, ProgramGone
from .stand_ins import Function, blame

# Descriptor of the supervisor. The channels to the jails follow it.
SUPERVISOR = CHANNEL


def run(
    locks: Locks, limits: ChildLimits, channels: list[int], supervisor: int, output_bytes: int
) -> None:
    """Body of a tester: locks itself down, receives the tests, then one program per channel.

    Each program gets one reply: a verdict, its reason, whether an object of the program had to be
    answered for, and why this run cannot decide alone, if it cannot. The tests are ("calls", setup,
    code, names, classes) or ("project", files, command, None, None), as in verdict.CallTests and
    verdict.ProjectTests. classes: names of classes that the problem asks for; None if unknown.
    """
    lock_down(locks, limits, [supervisor, *channels])
    for name in preambles.OF_SCRIPTS:
        delattr(builtins, name)
    kind, *parts = Decoder(wire.receive(SUPERVISOR, 1 << 30)).values(5)
    *parts, classes = parts
    tests = Calls(*parts) if kind == "calls" else project.Project(*parts)
    trust = Trust(classes) if kind == "calls" else None
    for channel in range(SUPERVISOR + 1, SUPERVISOR + 1 + len(channels)):
        (source,) = Decoder(wire.receive(SUPERVISOR, 1 << 30)).values(1)
        random.seed(0)
        program = Program(channel, output_bytes, trust)
        try:
            verdict, reason = judge(program, source, tests)
        except wire.Unsendable as error:
            # The fault is ours. The supervisor reports it as infrastructure.
            verdict, reason = (
                "unsupported",
                f"the tests pass {error} to the program, which has no plain form",
            )
        program.close()
        os.close(channel)
        objects = program.objects
        met, blind = (objects.met, objects.blind) if objects is not None else (False, "")
        met = met or program.followed.moved
        wire.send(SUPERVISOR, wire.frame(1 << 20, verdict, reason, met, blind))


class Calls:
    """The test code of a problem (verdict.CallTests).

    It is compiled when it first runs, so that a fault in it becomes a verdict.
    """

    def __init__(self, setup: str, code: str, names: tuple[str, ...]):
        self._setup, self._code, self._names = setup, code, names
        self._compiled: tuple[CodeType, CodeType] | None = None
        self.texts = {"<tests>": code}

    def run(self, program: Program, source: str) -> tuple[str, str] | None:
        """None where the tests held. Otherwise raises what ended them."""
        scope = Names(program, program.load(source), self._names)
        if self._compiled is None:
            setup = compile(self._setup, "<setup>", "exec", dont_inherit=True)
            self._compiled = setup, compile(self._code, "<tests>", "exec", dont_inherit=True)
        exec(self._compiled[0], scope)
        program.calls = 0
        exec(self._compiled[1], scope)
        return None


def judge(program: Program, source: Any, tests: Calls | project.Project) -> tuple[str, str]:
    """Verdict and reason of one program.

    Raises wire.Unsendable for tests that cannot run sealed.
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
    """The globals of the tests.

    A name that neither the tests nor Python define means the program's function of that name.
    """

    def __init__(self, program: Program, defined: list[Any], shadowed: tuple[str, ...]):
        super().__init__(__name__="tests", __builtins__=builtins)
        self._program = program
        functions, others, modules = defined
        self._functions, self._others = set(functions), set(others)
        # A module that the program has imported is the tests' own copy of it here.
        self._modules = {
            name: module
            for name, module in dict(modules).items()
            if type(module) is str and module.split(".")[0] in _LIBRARY
        }
        self._hidden = set(vars(builtins)) - set(shadowed)

    def __missing__(self, name: str) -> Any:
        if name not in self._hidden:
            found = self._find(name)
            if found is not None:
                self[name] = found[0]
                return found[0]
        raise KeyError(name)

    def _find(self, name: str) -> tuple[Any] | None:
        if name in self._functions:
            return (Function(self._program, name),)
        if name in self._modules:
            return (importlib.import_module(self._modules[name]),)
        # A name of the library never means an object of the program: the tests would trust it.
        if name not in self._others or name in _LIBRARY:
            return None
        value = self._program.request("value", name, ())
        if self._program.objects is not None:
            self._program.objects.ask_for(name, value)
        return (value,)


_LIBRARY = sys.stdlib_module_names | {"numpy", "sympy"}
