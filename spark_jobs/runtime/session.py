"""The one session of a process, on the engine that the settings ask for."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from conf.schema.curate import SparkSettings
from spark_jobs.runtime.engines.engine import RunningEngine, submitted

# The engine of this process. A session outlives its job, so that all jobs of a run share it.
_running: RunningEngine | None = None


def start(settings: SparkSettings, app: str, log_file: str = "") -> Any:
    """The running session, or a new one. Under spark-submit it is the submitted one.

    log_file: takes what the engine's process says, so that the terminal keeps the summary lines and
        the progress. The default is a file in the temporary folder.

    Raises SeedbedError where the engine is not there, or does not come up.
    """
    global _running
    if _running is None:
        log_file = log_file or os.path.join(tempfile.gettempdir(), f"seedbed-{os.getpid()}.log")
        os.makedirs(os.path.dirname(os.path.abspath(log_file)), exist_ok=True)
        _running = _new(settings, app, log_file)
    return _running.spark


def running() -> RunningEngine | None:
    """The engine, where one was started."""
    return _running


def engine() -> RunningEngine:
    """The running engine; `start` comes first."""
    assert _running is not None, "no session was started"
    return _running


def stop() -> None:
    """End the session, if there is one. The next `start` makes a new one."""
    global _running
    if _running is not None:
        _running.stop()
        _running = None


def _new(settings: SparkSettings, app: str, log_file: str) -> RunningEngine:
    # Each engine is imported where it is asked for: none needs the packages of another.
    if settings.engine == "spark" or submitted():
        from spark_jobs.runtime.engines import jvm

        return jvm.start(settings, app, log_file)
    if settings.engine == "connect":
        from spark_jobs.runtime.engines import connect

        return connect.start(settings)
    from spark_jobs.runtime.engines import sail

    return sail.start(settings, log_file)
