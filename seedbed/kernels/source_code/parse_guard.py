"""Parses in a child process that may be killed.

Some grammars loop for ever in C, others crash or use up the memory. Before each file the child
starts a timer of its own CPU time. The operating system ends the child when the timer runs out. So
the verdict does not depend on the load of the machine. One child serves many files, and a new one
is started only after a death.

A request holds many files and has one reply, so that neither process wakes for every file. The
verdicts stand in memory that both processes share. After a death their number tells which file it
was.
"""

from __future__ import annotations

import contextlib
import fcntl
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
from typing import IO, Any

from seedbed.kernels.source_code.syntax import SyntaxFacts, can_walk, parse

# Of a request: seconds, files. Then come sizes in bytes: of the names of each file's grammars, and
# of each file. Then come the names and the files themselves.
_HEADER = struct.Struct("<dI")
# A file: UTF-8 source and the names of grammars. Its verdict: status and facts.
File = tuple[bytes, tuple[str, ...]]
Verdict = tuple[str, SyntaxFacts | None]
# The child's address space in bytes. A file of 1 MB takes about 0.2 GB, and the request its size.
_MEMORY = 2 << 30
# Bytes of a pipe: as many as a request mostly has. A smaller one wakes both sides more often.
_PIPE_BYTES = 1 << 20
# Bytes of source that a child parses before it loads the compiled walk: see syntax.can_walk.
WALK_AFTER = 16 << 20


class ParseGuard:
    """A context in which `facts` parses files, one at a time.

    timeout_s: CPU seconds per file.
    """

    def __init__(self, timeout_s: float):
        self._timeout_s = timeout_s
        self._child: subprocess.Popen[bytes] | None = None
        self._verdicts = os.memfd_create("verdicts")

    def __enter__(self) -> ParseGuard:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        os.close(self._verdicts)

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
            found = self._ask(files)
            for facts in found:
                yield "ok", SyntaxFacts(*facts)
            if len(found) == len(files):
                return
            yield ("timeout" if self._stop() == -signal.SIGPROF else "failed"), None
            files = files[len(found) + 1 :]

    def _ask(self, files: list[File]) -> list[list[Any]]:
        """The facts of each file; of fewer where the child dies."""
        if self._child is None:
            self._child = self._started()
        os.ftruncate(self._verdicts, 0)
        # Both processes have one position in it.
        os.lseek(self._verdicts, 0, os.SEEK_SET)
        requests, replies = _pipes(self._child)
        names = [" ".join(grammars).encode() for _, grammars in files]
        parts = names + [raw for raw, _ in files]
        with contextlib.suppress(BrokenPipeError):
            requests.write(_HEADER.pack(self._timeout_s, len(files)))
            requests.write(array("I", map(len, parts)).tobytes())
            requests.writelines(parts)
            requests.flush()
            replies.readline()
        # What a killed child began to write has no end of line.
        lines = os.pread(self._verdicts, os.fstat(self._verdicts).st_size, 0).split(b"\n")[:-1]
        return [json.loads(line) for line in lines]

    def _started(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(folder for folder in sys.path if folder)
        child = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self._verdicts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self._verdicts],
            env={**os.environ, "PYTHONPATH": path},
        )
        # The system may grant less.
        with contextlib.suppress(OSError):
            fcntl.fcntl(_pipes(child)[0], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return child

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


def serve(requests: IO[bytes], replies: IO[bytes], verdicts: int) -> None:
    """Answer requests until they end; this runs in the child.

    verdicts: the descriptor that takes a line of JSON for each file.
    """
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A file makes thousands of nodes and no cycle, so a search for cycles finds nothing. It took
    # a twelfth of the time.
    gc.disable()
    parsed, walk = 0, False
    while header := requests.read(_HEADER.size):
        seconds, count = _HEADER.unpack(header)
        sizes = array("I")
        sizes.frombytes(requests.read(2 * count * sizes.itemsize))
        parts = [requests.read(size) for size in sizes]
        if parsed <= WALK_AFTER < parsed + sum(sizes):
            walk = can_walk()
        parsed += sum(sizes)
        for names, raw in zip(parts[:count], parts[count:], strict=True):
            signal.setitimer(signal.ITIMER_PROF, seconds)
            facts = parse(raw, tuple(names.decode().split()), walk)
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.write(verdicts, json.dumps(astuple(facts)).encode() + b"\n")
        replies.write(b"\n")
        replies.flush()


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert child.stdin is not None
    assert child.stdout is not None
    return child.stdin, child.stdout


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer, int(sys.argv[1]))
