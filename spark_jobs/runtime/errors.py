"""One readable line out of a failure of Spark."""

from __future__ import annotations

from py4j.protocol import Py4JNetworkError

from conf.errors import SeedbedError

# How a worker's traceback names an error of ours; the text after it is `problem`, then the fix.
_OURS = "conf.errors.SeedbedError: "
_FIX = "\n  fix: "
# A message of the JVM may hold a whole plan.
_LONGEST = 500


def plain_error(job: str, error: Exception) -> SeedbedError:
    """The failure of a job as an error with a fix.

    An error of ours that was raised inside a worker comes out whole.
    """
    text = str(error)
    if "No space left on device" in text:
        return SeedbedError(
            f"{job}: the disk is full",
            "free space or choose another output=; what is committed stays",
        )
    if "java.lang.OutOfMemoryError" in text:
        return SeedbedError(
            f"{job}: a JVM ran out of memory",
            "raise spark.driver_memory (a local run), or --executor-memory and --driver-memory "
            "of spark-submit; what is committed stays",
        )
    if isinstance(error, Py4JNetworkError | ConnectionRefusedError):
        return SeedbedError(
            f"{job}: Spark's JVM has ended",
            "read DIR/curate/spark.log, raise spark.driver_memory if it tells of memory, and run "
            "the same command again; what is committed stays",
        )
    if _OURS in text:
        problem, _, rest = text.split(_OURS, 1)[1].partition(_FIX)
        return SeedbedError(f"{job}: {problem}", rest.splitlines()[0] if rest else "see above")
    return SeedbedError(
        f"{job} failed in Spark: {_first_words(error)}",
        "run again with SEEDBED_TRACEBACK=1 for the whole trace",
    )


def _first_words(error: Exception) -> str:
    """The innermost cause where the JVM names one, else the first line that says something."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    if causes:
        return causes[-1].removeprefix("Caused by: ")[:_LONGEST]
    said = [line for line in lines if not line.startswith("An error occurred while calling")]
    return (said or [type(error).__name__])[0].lstrip(": ")[:_LONGEST]
