"""Parses in a child process that may be killed.

Some grammars loop for ever in C, others crash or use up the memory. Before each file the child
starts a timer of its own CPU time. The operating system ends the child when the timer runs out. So
the verdict does not depend on the load of the machine. One child serves many files, and a new one
is started only after a death.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import struct
import subprocess
import sys
from dataclasses import asdict
from typing import IO, Any

from seedbed.kernels.source_code.syntax import SyntaxFacts, parse

# Of a request: seconds, bytes of the grammars' names, bytes of the source.
_HEADER = struct.Struct("<dII")
# The child's address space in bytes. A file of 1 MB takes about 0.2 GB.
_MEMORY = 2 << 30


class ParseGuard:
    """A context in which `facts` parses files, one at a time.

    timeout_s: CPU seconds per file.
    """

    def __init__(self, timeout_s: float):
        self._timeout_s = timeout_s
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ParseGuard:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def facts(self, raw: bytes, grammars: tuple[str, ...]) -> tuple[str, SyntaxFacts | None]:
        """(status, facts) of UTF-8 source.

        The status is ok, with facts, or timeout, failed or no_parser, without. It is no_parser
        where no grammars are given.
        """
        if not grammars:
            return "no_parser", None
        reply = self._ask(raw, " ".join(grammars).encode())
        if reply:
            return "ok", SyntaxFacts(**json.loads(reply))
        return ("timeout" if self._stop() == -signal.SIGPROF else "failed"), None

    def _ask(self, raw: bytes, names: bytes) -> bytes:
        """The child's reply, one line of JSON; empty where the child died."""
        if self._child is None:
            environment = {
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            }
            command = [sys.executable, "-m", __name__]
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
        requests, replies = _pipes(self._child)
        try:
            requests.write(_HEADER.pack(self._timeout_s, len(names), len(raw)) + names)
            requests.write(raw)
            requests.flush()
        except BrokenPipeError:
            return b""
        return replies.readline()

    def _stop(self) -> int:
        """End the child; returns its exit status as subprocess gives it, 0 where there is none."""
        child, self._child = self._child, None
        if child is None:
            return 0
        with contextlib.suppress(BrokenPipeError):
            # A live child reads the end of its input and exits.
            _pipes(child)[0].close()
        _pipes(child)[1].close()
        return child.wait()


def serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Answer requests until they end; this runs in the child."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while header := requests.read(_HEADER.size):
        seconds, name_bytes, source_bytes = _HEADER.unpack(header)
        grammars = tuple(requests.read(name_bytes).decode().split())
        raw = requests.read(source_bytes)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        facts: dict[str, Any] = asdict(parse(raw, grammars))
        signal.setitimer(signal.ITIMER_PROF, 0)
        replies.write(json.dumps(facts).encode() + b"\n")
        replies.flush()


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert child.stdin is not None
    assert child.stdout is not None
    return child.stdin, child.stdout


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
