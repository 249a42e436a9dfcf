"""Parse in a child process that may be killed: some grammars loop for ever in C, others crash or
eat the memory.

The child arms a timer of its own CPU time before each file and the kernel ends it when the timer
runs out, so the verdict does not depend on how busy the machine is. One child serves many files; a
new one is started only after a death.
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

from seedbed.kernels.source_code.syntax import Facts, parse

# seconds, bytes of the grammars' names, bytes of the source
_HEADER = struct.Struct("<dII")
# bytes of address space; a 1 MB file takes about 0.2 GB
_MEMORY = 2 << 30


class Guard:
    """A context in which `facts` parses files, one at a time."""

    def __init__(self, timeout_s: float):
        self._timeout_s = timeout_s
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def facts(self, raw: bytes, grammars: tuple[str, ...]) -> tuple[str, Facts | None]:
        """(status, facts) of UTF-8 source: ok with facts, or timeout, failed, no_parser (no
        grammars given) without.
        """
        if not grammars:
            return "no_parser", None
        reply = self._ask(raw, " ".join(grammars).encode())
        if reply:
            return "ok", Facts(**json.loads(reply))
        return ("timeout" if self._stop() == -signal.SIGPROF else "failed"), None

    def _ask(self, raw: bytes, names: bytes) -> bytes:
        """One line of JSON, or nothing where the child died."""
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
        """End the child; returns its exit status as subprocess gives it (0 where there is none)."""
        child, self._child = self._child, None
        if child is None:
            return 0
        with contextlib.suppress(BrokenPipeError):
            # a live child reads the end of its input and leaves
            _pipes(child)[0].close()
        _pipes(child)[1].close()
        return child.wait()


def serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Answer requests until they end. Runs in the child."""
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
