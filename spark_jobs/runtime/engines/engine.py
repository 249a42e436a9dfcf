"""What a job may ask of the engine under its session.

All jobs use the DataFrame API alone. What engines do differently stands in this folder.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

from conf.errors import SeedbedError


def submitted() -> bool:
    """Whether spark-submit runs this process; it has parsed --master already."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def require_spark_4(version: str, where: str) -> None:
    """Raise SeedbedError where the Spark of `where` is older than the jobs need."""
    if int(version.split(".")[0]) < 4:
        raise SeedbedError(
            f"{where} is Spark {version}; the jobs need Spark 4 or later", "use one of Spark 4"
        )


class RunningEngine(Protocol):
    """A running engine.

    name: sail, spark or connect.
    spark: its session.
    python_in_threads: whether Python functions share one process, and so one interpreter lock.
    parallelism: tasks that run at once.
    """

    name: str
    spark: Any
    python_in_threads: bool

    @property
    def parallelism(self) -> int: ...

    def sorting_tasks(self, wanted: int) -> int:
        """Over how many tasks to spread rows that are sorted next; `wanted` of small ones."""

    def describe(self, step: str) -> None:
        """Show `step` in the engine's own user interface, where it has one."""

    def tasks(self) -> tuple[int, int] | None:
        """(done, all) of the tasks since the last `describe`; None where it tells nothing."""

    def path(self, path: str) -> str:
        """A path or URI as this engine takes it. Raises SeedbedError where it cannot."""

    def ended(self) -> str:
        """Why the engine is gone, in a few words; "" while it runs."""

    def stop(self) -> None:
        """End the session, and the engine where it belongs to this process."""
