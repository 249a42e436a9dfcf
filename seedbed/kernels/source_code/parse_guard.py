"""Parses in a child process that may be killed.

Some grammars loop for ever in C, others crash or use up the memory. Before each file the child
starts a timer of its own CPU time. The operating system ends the child when the timer runs out. So
the verdict does not depend on the load of the machine. One child serves many files, and a new one
is started only after a death.

A request holds many files and has one reply for each, so that neither process waits for every file.
After a death the number of replies tells which file it was.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import struct
import subprocess
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from typing import IO

from seedbed.kernels.source_code.syntax import SyntaxFacts, parse

# Of a request: seconds, files. Then come sizes in bytes: of the names of each file's grammars, and
# of each file. Then come the names and the files themselves.
_HEADER = struct.Struct("<dI")
# A file: UTF-8 source and the names of grammars. Its verdict: status and facts.
File = tuple[bytes, tuple[str, ...]]
Verdict = tuple[str, SyntaxFacts | None]
# The child's address space in bytes. A file of 1 MB takes about 0.2 GB, and the request its size.
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

    def facts(self, raw: bytes, grammars: tuple[str, ...]) -> Verdict:
        """The verdict of `verdicts` on one file."""
        return self.verdicts([(raw, grammars)])[0]

    def verdicts(self, files: Sequence[File]) -> list[Verdict]:
        """(status, facts) of each file.

        The status is ok, with facts, or timeout, failed or no_parser, without. It is no_parser
        where no grammars are given.
        """
        found = self._judged([file for file in files if file[1]])
        return [next(found) if grammars else ("no_parser", None) for _, grammars in files]

    def _judged(self, files: list[File]) -> Iterator[Verdict]:
        while files:
            done = 0
            for reply in self._ask(files):
                yield "ok", SyntaxFacts(*json.loads(reply))
                done += 1
            if done == len(files):
                return
            yield ("timeout" if self._stop() == -signal.SIGPROF else "failed"), None
            files = files[done + 1 :]

    def _ask(self, files: list[File]) -> Iterator[bytes]:
        """The child's replies, one line of JSON a file; fewer where the child dies."""
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
        names = [" ".join(grammars).encode() for _, grammars in files]
        parts = names + [raw for raw, _ in files]
        try:
            requests.write(_HEADER.pack(self._timeout_s, len(files)))
            requests.write(array("I", map(len, parts)).tobytes())
            requests.writelines(parts)
            requests.flush()
        except BrokenPipeError:
            return
        for _ in files:
            reply = replies.readline()
            if not reply:
                return
            yield reply

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
    # A file makes thousands of nodes and no cycle, so a search for cycles finds nothing. It took
    # a twelfth of the time.
    gc.disable()
    while header := requests.read(_HEADER.size):
        seconds, count = _HEADER.unpack(header)
        sizes = array("I")
        sizes.frombytes(requests.read(2 * count * sizes.itemsize))
        parts = [requests.read(size) for size in sizes]
        for names, raw in zip(parts[:count], parts[count:], strict=True):
            signal.setitimer(signal.ITIMER_PROF, seconds)
            facts = parse(raw, tuple(names.decode().split()))
            signal.setitimer(signal.ITIMER_PROF, 0)
            replies.write(json.dumps(astuple(facts)).encode() + b"\n")
            replies.flush()


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert child.stdin is not None
    assert child.stdout is not None
    return child.stdin, child.stdout


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
