"""The start of a JVM: where its words go, and what is told where it does not come up."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from conf.errors import SeedbedError

# A line of the log that says why: the JVM's own words, or an exception's name.
_SAYS_WHY = ("rror", "xception", "nsufficient memory", "ould not ", "annot ")
# How Ivy tells that a package is neither in its cache nor within reach.
_NO_JARS = "unresolved dependency"


@contextmanager
def starting(log_file: str) -> Iterator[None]:
    """Sends what processes that start inside the block say to `log_file`.

    Both streams, since a JVM that cannot reserve its memory says so on its standard output.

    Raises SeedbedError where the JVM ends, or Spark within it does not come up: with what was said,
    how it ended, and after how many seconds.
    """
    os.makedirs(os.path.dirname(os.path.abspath(log_file)), exist_ok=True)
    began, at = time.monotonic(), os.path.getsize(log_file) if os.path.exists(log_file) else 0
    try:
        with _into(log_file):
            yield
    except (PySparkException, Py4JError, ConnectionError) as error:
        said = _why(log_file, at) or _innermost(error)
        if _NO_JARS in said:
            raise SeedbedError(
                "Spark did not start: jars are not on this machine and could not be fetched: "
                f"{said[said.index(_NO_JARS) :]}",
                "run `make java` once, with network access, for the jars of Delta; see "
                "spark.jars.packages in spark.extra for others; spark.engine=sail needs none",
            ) from error
        raise SeedbedError(
            f"Spark did not start: {said} ({_ended(error)} after {time.monotonic() - began:.0f} s)",
            f"read {log_file}; see that spark.master and spark.extra are right and that memory "
            "(spark.memory) is free; `make java` fetches the Delta jars once, with network access",
        ) from error


@contextmanager
def _into(log_file: str) -> Iterator[None]:
    """Sends file descriptors 1 and 2 to the end of `log_file`; after the block they are back."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with open(log_file, "a") as log:
        try:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, own in zip((1, 2), kept, strict=True):
                os.dup2(own, stream)
                os.close(own)


def _ended(error: BaseException) -> str:
    """How the JVM's process ended. PySpark keeps it in a frame of what it raised, and tells not."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        process = frame.f_locals.get("proc")
        if isinstance(process, Popen):
            code = process.poll()
            if code is None:
                return "its process runs"
            # The shell around it tells a signal as 128 and more.
            number = -code if code < 0 else code - 128
            if number in iter(signal.Signals):
                name = signal.Signals(number).name
                killed = ", as the kernel does where memory runs out" if name == "SIGKILL" else ""
                return f"its process was ended by {name}{killed}"
            return f"its process ended with exit status {code}"
    return "its process runs, and Spark in it gave up"


def _why(log_file: str, at: int) -> str:
    """The first line since byte `at` that says why; else the first line, "" without any."""
    with open(log_file, "rb") as log:
        log.seek(at)
        lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
    said = [line for line in lines if line and not line.startswith("Picked up JAVA_TOOL_OPTIONS")]
    reasons = [line for line in said if any(word in line for word in _SAYS_WHY)]
    return (reasons or said or [""])[0][:300]


def _innermost(error: BaseException) -> str:
    """The cause that an error of py4j names, for a JVM that said nothing itself."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if "Caused by: " in line or line.startswith(": ")]
    said = causes[-1].removeprefix("Caused by: ").lstrip(": ") if causes else ""
    # What PySpark says of a process that has ended is told by its status.
    return said[:300] or "it said nothing"
