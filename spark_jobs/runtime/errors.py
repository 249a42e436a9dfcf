"""One readable line out of a failure of an engine."""

from __future__ import annotations

import re

from conf.errors import SeedbedError
from spark_jobs.runtime.engines.engine import RunningEngine

# The packages whose errors an engine raises. They are told by name, since a client of Spark Connect
# has no py4j and a JVM's has no grpc.
_PACKAGES = ("pyspark", "py4j", "grpc")
# How a worker's traceback names an error of ours; the text after it is `problem`, then the fix.
_OURS = "conf.errors.SeedbedError: "
_FIX = "\n  fix: "
_TRACEBACK = "Traceback (most recent call last):"
# What the engines say of a table whose protocol or features they do not know.
_OTHER_VERSION = (
    "does not support reader version",
    "does not support writer version",
    "DELTA_INVALID_PROTOCOL_VERSION",
    "DELTA_UNSUPPORTED_FEATURES",
)
# A message of an engine may hold a whole plan.
_LONGEST = 500
# What an engine says when memory runs out: the JVM, DataFusion's pool, Rust's allocator.
_OUT_OF_MEMORY = (
    "java.lang.OutOfMemoryError",
    "Resources exhausted",
    "Failed to allocate",
    "memory allocation of",
)
# What servers say of a session that they have dropped: Sail's, then Spark's.
_DROPPED = re.compile(r"session \S+ is not running|INVALID_HANDLE\.SESSION_(NOT_FOUND|CLOSED)")


def is_of_engine(error: Exception) -> bool:
    """Whether an engine raised it, or the connection to one. A dead JVM refuses connections."""
    package = type(error).__module__.partition(".")[0]
    return package in _PACKAGES or isinstance(error, ConnectionRefusedError)


def plain_error(job: str, error: Exception, engine: RunningEngine) -> SeedbedError:
    """The failure of a job as an error with a fix.

    An error of ours that was raised inside a worker comes out whole.
    """
    text = str(error)
    if "No space left on device" in text:
        return SeedbedError(
            f"{job}: the disk is full",
            "free space or choose another output=; what is committed stays",
        )
    if any(words in text for words in _OUT_OF_MEMORY):
        return SeedbedError(
            f"{job}: the engine ({engine.name}) ran out of memory: {_first_words(error)}",
            "raise spark.memory (an engine on this machine), or --executor-memory and "
            "--driver-memory of spark-submit; what is committed stays",
        )
    if _OURS in text:
        problem, _, rest = text.split(_OURS, 1)[1].partition(_FIX)
        return SeedbedError(f"{job}: {problem}", rest.splitlines()[0] if rest else "see above")
    if any(words in text for words in _OTHER_VERSION):
        return SeedbedError(
            f"{job}: the engine ({engine.name}) cannot use a table of this version: "
            f"{_first_words(error)}",
            "set spark.engine= to what wrote the table, or write it anew: rebuild=[TABLE]",
        )
    if _DROPPED.search(text):
        return SeedbedError(
            f"{job}: the engine ({engine.name}) has dropped a session that asked nothing for long",
            "run the same command again: what is committed stays; a server of your own may wait "
            "longer (Sail: SAIL_SPARK__SESSION_TIMEOUT_SECS, Spark: "
            "spark.connect.session.manager.defaultSessionTimeout)",
        )
    if why := engine.ended():
        return SeedbedError(
            f"{job}: the engine ({engine.name}) has ended: {why}",
            "read DIR/curate/engine.log, give it less at once (spark.memory) if memory ran out, "
            "and run the same command again; what is committed stays",
        )
    return SeedbedError(
        f"{job} failed in the engine ({engine.name}): {_first_words(error)}",
        "run again with SEEDBED_TRACEBACK=1 for the whole trace",
    )


def _first_words(error: Exception) -> str:
    """What a Python function raised, else the JVM's innermost cause, else the first line."""
    text = str(error)
    # A frame is indented, what was raised is not. An engine's own stack may follow it.
    after = text.rpartition(_TRACEBACK)[2].splitlines()[1:] if _TRACEBACK in text else []
    raised = [line for line in after if line.strip() and not line[0].isspace()]
    if raised:
        return raised[0][:_LONGEST]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    if causes:
        return causes[-1].removeprefix("Caused by: ")[:_LONGEST]
    said = [line for line in lines if not line.startswith("An error occurred while calling")]
    return (said or [type(error).__name__])[0].lstrip(": ")[:_LONGEST]
