"""One child process as its server sees it: started, called, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from conf.errors import SeedbedError
from spark_jobs.runtime.children.wire import ConnectionLost, Kind, Wire

# Seconds in which an ended child may release what its function holds.
_GRACE = 5.0


class Child:
    """A child process; one call at a time.

    The kernel kills it when the thread that made this object ends, so that must be one that lives
    as long as the server (prctl(2), PR_SET_PDEATHSIG).
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        program = "spark_jobs.runtime.children.program"
        path = os.pathsep.join(folder for folder in sys.path if folder)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", program, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": path},
            )
        self._socket = ours
        self._wire = Wire(ours)
        # The function that the child has, pickled.
        self.loaded = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def fileno(self) -> int:
        """For selectors: readable where `answer` has something to take."""
        return self._socket.fileno()

    def begin(self, function: bytes) -> None:
        """Start a call of the pickled `function`. Then come answers, up to DONE.

        Only after DONE may the child be called again. Raises SeedbedError where it was killed, as
        `answer` and `give` do.
        """
        with self._reporting():
            if self.loaded != function:
                self._wire.send(Kind.FUNCTION, function)
                self.loaded = function
            self._wire.send(Kind.CALL)

    def answer(self) -> pa.RecordBatch | Kind:
        """A batch that the function gave, or WANT, or DONE. Each WANT needs one `give`.

        Raises the SeedbedError that the function raised, and RuntimeError with the traceback of
        another error.
        """
        with self._reporting():
            kind, payload = self._wire.receive()
        if kind == Kind.BATCH:
            return self._wire.batch(payload)
        if kind in (Kind.WANT, Kind.DONE):
            return kind
        if kind == Kind.OURS:
            raise SeedbedError(*payload.to_pybytes().decode().split("\0", 1))
        raise RuntimeError(f"in a Python worker:\n{payload.to_pybytes().decode()}")

    def give(self, batch: pa.RecordBatch | None) -> None:
        """Hand the function its next batch; None ends its input."""
        with self._reporting():
            if batch is None:
                self._wire.send(Kind.END)
            else:
                self._wire.send_batch(batch)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except ConnectionLost as error:
            raise self._ended() from error

    def end(self) -> None:
        """End the process, whatever it does; its function is unwound where it can be."""
        self._process.terminate()
        self._socket.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ended(self) -> SeedbedError:
        try:
            status = self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            status = 0
        who = f"the Python worker {self.pid}"
        if status == -signal.SIGKILL:
            return SeedbedError(
                f"{who} was killed by SIGKILL; most likely the machine ran out of memory",
                "run again with more memory or fewer cores; what is committed stays",
            )
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        return SeedbedError(
            f"{who} ended {how} in the middle of its work",
            "look above for what it wrote to stderr, and run again; what is committed stays",
        )
