"""Sail: a Rust engine that speaks Spark Connect, embedded as a child process.

It needs no Java and starts in about half a second. Python functions run in threads of its process.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from conf.schema.curate import SparkSettings
from seedbed.stores.places import for_engine
from seedbed.stores.settings import sail_environment
from spark_jobs.runtime.engines.aliases import PLAIN, Aliases
from spark_jobs.runtime.engines.connect import session_at

SERVER = "spark_jobs.runtime.engines.sail_server"
# The server is a child on this machine. Where it does not answer, it has ended.
RETRIES = 2
# Rows of a batch. A sort must hold a batch twice in its share of the pool, and rows hold texts.
# With 8,192, Sail's default, the demo took 1.2 times the CPU time and 1.2 times the memory.
BATCH_ROWS = 256
# Bytes of the pool for each task that sorts: a batch of the largest files, 1 MB each, twice.
SORT_BYTES = 512 << 20


class Sail:
    """A running Sail server and its session.

    memory: bytes of its memory pool.
    """

    name = "sail"
    python_in_threads = True

    def __init__(self, server: subprocess.Popen[str], spark: Any, log_file: str, memory: int):
        self.spark = spark
        self._memory = memory
        self._server = server
        self._log_file = log_file
        self._aliases = Aliases()

    @property
    def parallelism(self) -> int:
        return len(os.sched_getaffinity(0))

    def sorting_tasks(self, wanted: int) -> int:
        """At most one for SORT_BYTES of the pool, or for each core.

        Sail runs all tasks of a stage at once. Each sorts in an equal share of the pool: 512 tasks
        of 1 GB have 2 MB each, and a batch needs more. What follows the sort has its memory once
        per task: 100 tasks that compared near duplicates took 16 GB. Large tasks spill.
        """
        return min(wanted, max(self.parallelism, self._memory // SORT_BYTES))

    def describe(self, step: str) -> None:
        """Sail has no user interface."""

    def tasks(self) -> None:
        """Sail tells nothing of its tasks."""

    def path(self, path: str) -> str:
        """A local path through a link, where it has an odd name."""
        path = for_engine(path, self.name)
        if "://" not in path:
            return self._aliases.path(path)
        if not PLAIN.fullmatch(re.sub(r"^\w+://[^/]*", "", path)):
            raise SeedbedError(
                f"Sail would write to another place than {path}",
                "use letters, digits and . _ - / in the path, or set spark.engine=spark",
            )
        return path

    def ended(self) -> str:
        """Why the server is gone, in a few words; "" while it runs."""
        try:
            # Its socket closes a moment before the process can be waited for.
            code = self._server.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return ""
        if code == -signal.SIGKILL:
            return "it was killed (SIGKILL), as the kernel does where memory runs out"
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"{how}: {_last_words(self._log_file)}"

    def stop(self) -> None:
        """End the session and the server."""
        if self._server.poll() is None:
            self.spark.stop()
        self._server.stdin.close()  # type: ignore[union-attr]
        try:
            self._server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._aliases.close()


def start(settings: SparkSettings, log_file: str) -> Sail:
    """A new server with its session.

    log_file: takes what the server says.

    Raises SeedbedError where Sail is not installed, or does not come up.
    """
    if importlib.util.find_spec("pysail") is None:
        raise SeedbedError(
            f"spark.engine=sail needs the package pysail, which {sys.executable} lacks",
            "pip install pysail (wheels exist for Linux and macOS on x86-64 and ARM64), "
            "or set spark.engine=spark, which needs Java",
        )
    log = open(log_file, "a")  # noqa: SIM115 - the child keeps it
    server = subprocess.Popen(
        [sys.executable, "-m", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=os.environ | environment(settings),
        text=True,
        # Ctrl-C is for the job, which then ends the server.
        start_new_session=True,
    )
    log.close()
    port = server.stdout.readline().strip()  # type: ignore[union-attr]
    if not port.isdigit():
        server.wait()
        raise SeedbedError(
            f"Sail did not start: {_last_words(log_file)}",
            f"read {log_file}; spark.engine=spark runs the same jobs on Spark's JVM",
        )
    spark = session_at(f"sc://127.0.0.1:{port}", RETRIES)
    return Sail(server, spark, log_file, _bytes(settings.memory))


# A server forgets a session, and all its views, that has asked nothing for so long: by default for
# 15 minutes, in which a notebook waits for its reader and a job for an endpoint. Ours ends with the
# one process that asks it.
IDLE_SECONDS = 365 * 24 * 3600


def environment(settings: SparkSettings) -> dict[str, str]:
    """The variables that configure a server (Sail's reference of configuration, version 0.7)."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    return {
        **threads,
        "TOKENIZERS_PARALLELISM": "false",
        # What this process can import, the functions that it sends can import there.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path) or os.getcwd(),
        "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
        "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(_bytes(settings.memory)),
        "SAIL_EXECUTION__BATCH_SIZE": str(BATCH_ROWS),
        "SAIL_SPARK__SESSION_TIMEOUT_SECS": str(IDLE_SECONDS),
        "RUST_LOG": os.environ.get("RUST_LOG", "warn"),
        **sail_environment(),
        **settings.sail,
    }


def _bytes(size: str) -> int:
    return int(size[:-1]) << {"k": 10, "m": 20, "g": 30, "t": 40}[size[-1]]


def _last_words(log_file: str) -> str:
    lines = [one.strip() for one in Path(log_file).read_text(errors="replace").splitlines()]
    said = [one for one in lines if one]
    panics = [one for one in said if "panicked" in one or "Error" in one]
    return (panics or said or ["it said nothing"])[-1][:300]
