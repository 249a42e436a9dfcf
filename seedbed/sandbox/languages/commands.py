"""Compiles and runs programs of other languages than Python, for one worker."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from seedbed.sandbox import judge
from seedbed.sandbox.clock import Clock
from seedbed.sandbox.inside import wire
from seedbed.sandbox.inside.decoder import Decoder
from seedbed.sandbox.judge import Finding, ScriptRun
from seedbed.sandbox.languages import LANGUAGES, orders
from seedbed.sandbox.languages.compilations import Compilations, Compiled
from seedbed.sandbox.languages.installed import toolchain
from seedbed.sandbox.languages.language import Language, MissingTool, Toolchain
from seedbed.sandbox.languages.native_server import NativeServer
from seedbed.sandbox.languages.source import ProgramSource
from seedbed.sandbox.languages.source_tests import SourceJudge
from seedbed.sandbox.verdict import Isolation, Job, Limits, SourceTests, StdioTests

# Seconds that a process gets to end by itself after it has closed its stdout.
_GRACE = 1.0
_FRAME_BYTES = 1 << 30
# Characters of what a compiler or program says that go into a reason.
_WORDS = 300
# Reads stdout and the report of a run: worker._drain.
Drain = Callable[[Clock, int, int, int], tuple[bytes, bytes]]
# Runs one case: its stdin, and what judges the output.
RunCase = Callable[[str, judge.Decide], Finding]
# Runs all cases of tests: worker._run_cases.
Cases = Callable[[StdioTests, RunCase], Finding]


class Commands:
    """A fork server for compilers and programs, started when the first job asks for it."""

    def __init__(self, isolation: Isolation, compilations: Compilations, drain: Drain) -> None:
        self._isolation, self._compilations, self._drain = isolation, compilations, drain
        self._alone = isolation == "full"
        self._server: NativeServer | None = None
        # The languages whose files the server has, and their numbers there.
        self._served: dict[str, Toolchain] = {}
        self._sources = orders.Sources([])
        self._source_judge = SourceJudge()

    def close(self) -> None:
        """End the fork server and everything below it."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def attempt(self, job: Job, program: str, limits: Limits, cases: Cases) -> Finding:
        """The finding on a job whose language is not Python.

        cases: runs each case of stdin and stdout by a function that it is given. Raises ServerLost,
        SeedbedError and OSError for faults of ours.
        """
        language = LANGUAGES[job.spoken]
        try:
            source = ProgramSource(language, toolchain(language.name), program)
        except MissingTool as error:
            return Finding("infrastructure", str(error), retry=False)
        self._served.setdefault(language.name, source.tools)
        if isinstance(job.tests, SourceTests):
            return self._source_judge.judge(
                language, program, job.tests, lambda *text: self._run_text(source, limits, *text)
            )
        assert isinstance(job.tests, StdioTests)
        made = self._compile(source)
        if made.fault is not None:
            return made.fault

        def run(given: str, decide: judge.Decide) -> Finding:
            done = self._run(source, made, given, limits)
            return explained(judge.script(done, decide, limits), done, language)

        return cases(job.tests, run)

    def _compile(self, source: ProgramSource) -> Compiled:
        compiler = source.tools.compiler
        if compiler is None:
            return self._compile_anew(source)
        key = (source.tools.version, *compiler.command, *source.words.values(), source.text)
        return self._compilations.get(key, lambda: self._compile_anew(source))

    def _compile_anew(self, source: ProgramSource) -> Compiled:
        if source.tools.compiler is None:
            return Compiled(source.files, 0.0)
        server = self._started(source)
        order = self._sources.order(source.tools.compiler, source.words, source.files)
        order = orders.of_compiler(order, source.tools, self._alone)
        wall = orders.COMPILER_WALL_SECONDS
        limits = Limits(cpu_seconds=wall, wall_seconds=wall, output_bytes=orders.RESULT_BYTES)
        return compiled(self._exchange(server, "compile", (order, b""), limits))

    def _run_text(
        self, like: ProgramSource, limits: Limits, text: str, kept: bool
    ) -> tuple[Finding, str]:
        """Compiles and runs another text in the same language. Its exit status alone decides."""
        source = replace(like, text=text, beside=True)
        made = self._compile(source) if kept else self._compile_anew(source)
        if made.fault is not None:
            return made.fault, ""
        run = self._run(source, made, "", limits)
        found = judge.script(run, None, limits)
        return explained(found, run, source.language), run.printed.decode("utf-8", "replace")

    def _run(self, source: ProgramSource, made: Compiled, given: str, limits: Limits) -> ScriptRun:
        server = self._started(source)
        memory = {"memory_mb": str(limits.memory_bytes >> 20)}
        order = self._sources.order(source.tools.program, {**source.words, **memory}, made.files)
        order = orders.of_program(order, source.tools, limits, self._alone)
        return self._exchange(
            server, "run", (order, given.encode("utf-8", "surrogatepass")), limits
        )

    def _started(self, source: ProgramSource) -> NativeServer:
        """The fork server with the files of this language; another one if it lacks them."""
        wanted = orders.Sources([*self._served.values()])
        if self._server is not None and wanted.paths != self._sources.paths:
            self.close()
        if self._server is None:
            self._server = NativeServer(self._isolation, wanted.paths)
            self._sources = wanted
        return self._server

    def _exchange(
        self, server: NativeServer, operation: str, order: tuple[Any, bytes], limits: Limits
    ) -> ScriptRun:
        """One jail from its start to its end, and what it wrote."""
        channel, theirs = socket.socketpair()
        stdout, writer = os.pipe()
        try:
            with channel:
                with theirs:
                    pids = server.spawn([theirs.fileno(), writer], op=operation)
                os.close(writer)
                writer = -1
                clock = Clock(limits, [pids["jail"]])
                wire.send(channel.fileno(), wire.frame(_FRAME_BYTES, *order))
                cap = limits.output_bytes
                printed, report = self._drain(clock, stdout, channel.fileno(), cap)
                over = len(printed) > cap
                (jail,) = server.reap(0 if clock.expired or over else _GRACE, tester=False)
        finally:
            os.close(stdout)
            if writer >= 0:
                os.close(writer)
        return ScriptRun(jail, printed, report, clock.expired)


def compiled(run: ScriptRun) -> Compiled:
    """What came of a compilation: the files, or a finding on why there are none."""
    if run.expired:
        # Compilers do not sleep. So the host is busy, and CPU time would have ended a bomb.
        reason = f"the compiler had no end: {run.expired}"
        return Compiled((), 0.0, Finding("infrastructure", reason, retry=False))
    try:
        status, cpu, _, said, files = Decoder(run.printed[4:]).values(5)
    except wire.Malformed:
        detail = run.report.decode("utf-8", "replace")[-_WORDS:]
        return _no_program("infrastructure", f"the compiler could not be set up: {detail}")
    text = _last_words(said)
    if status == 0:
        return Compiled(files, cpu)
    if cpu > 0.9 * orders.COMPILER_CPU_SECONDS:
        used = f"{orders.COMPILER_CPU_SECONDS} s of CPU time"
        return _no_program("timeout", f"the compiler used all of its {used}", cpu)
    return _no_program("error", f"does not compile: {text}", cpu)


def _no_program(outcome: Any, reason: str, cpu: float = 0.0) -> Compiled:
    return Compiled((), cpu, Finding(outcome, reason))


def explained(found: Finding, run: ScriptRun, language: Language) -> Finding:
    """A finding with what the program said on stderr. That can never make a pass."""
    said = run.report[4:]
    if found.outcome == "infrastructure" and run.report[:4] != b"\0\0\0\0":
        return replace(found, reason=f"{found.reason}: {run.report.decode(errors='replace')}")
    if found.outcome not in ("error", "fail") or not said:
        return found
    text = said.decode("utf-8", "replace")
    if any(word in text for word in language.memory_words):
        return replace(found, outcome="memory", reason=f"{found.reason}: {_last_words(said)}")
    return replace(found, reason=f"{found.reason}: {_last_words(said)}")


def _last_words(said: bytes) -> str:
    text = said.decode("utf-8", "replace").strip()
    return text if len(text) <= _WORDS else f"{text[:_WORDS]}..."
