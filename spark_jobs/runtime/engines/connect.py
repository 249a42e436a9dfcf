"""Spark Connect: a server that runs elsewhere, at spark.remote.

It may be Spark's own server, Databricks', or a Sail cluster. It needs Delta, and the packages of
extra `spark` in its Python workers.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from conf.errors import SeedbedError
from conf.schema.curate import SparkSettings
from seedbed.stores.places import for_engine
from spark_jobs.runtime.engines.engine import require_spark_4

# The client waits at most about a minute for a server that is gone.
RETRIES = 6


class Connect:
    """A session on a server that somebody else started."""

    name = "connect"
    python_in_threads = False

    def __init__(self, spark: Any, url: str, parallelism: int):
        self.spark = spark
        self._url = url
        self.parallelism = parallelism
        self._seen: dict[int, tuple[int, int]] = {}
        spark.registerProgressHandler(self._take)

    def sorting_tasks(self, wanted: int) -> int:
        """As many: tasks wait for a core, and those that run share the memory."""
        return wanted

    def describe(self, step: str) -> None:
        """A server's user interface shows operations by their plan."""
        self._seen.clear()

    def tasks(self) -> tuple[int, int]:
        """(done, all) of the tasks of the stages that ran since the last `describe`."""
        stages = list(self._seen.values())
        return sum(done for done, _ in stages), sum(every for _, every in stages)

    def _take(self, stages: Any, **_: Any) -> None:
        for stage in stages or ():
            self._seen[stage.stage_id] = (stage.num_completed_tasks, stage.num_tasks)

    def path(self, path: str) -> str:
        """As the server's machine reads it."""
        return for_engine(path, self.name)

    def ended(self) -> str:
        """Why the server does not answer, in a few words; "" while it does."""
        try:
            self.spark.version  # noqa: B018 - the question is whether it answers
        except Exception as error:
            return f"{self._url} does not answer: {_first_line(error)}"
        return ""

    def stop(self) -> None:
        """End the session; the server goes on."""
        self.spark.stop()


def start(settings: SparkSettings) -> Connect:
    """A session on the server at settings.remote.

    Raises SeedbedError where it does not answer.
    """
    spark = None
    try:
        spark = session_at(settings.remote, RETRIES)
        version = spark.version
    except Exception as error:
        if spark is not None:
            # The client takes its leave at the end of the process, and would ask as often again.
            _ask(spark, 0)
        raise SeedbedError(
            f"spark.remote={settings.remote} does not answer: {_first_line(error)}",
            "start the server (docs/cluster.md), or check host, port and token in the address",
        ) from error
    require_spark_4(version, f"the server at spark.remote={settings.remote}")
    for key, value in {"spark.sql.session.timeZone": "UTC", **settings.extra}.items():
        try:
            spark.conf.set(key, value)
        except PySparkException as error:
            raise SeedbedError(
                f"the server at spark.remote={settings.remote} refuses {key}={value}: "
                f"{_first_line(error)}",
                "take it out of spark.extra, or set it where the server is started",
            ) from error
    return Connect(spark, settings.remote, settings.shuffle_partitions)


def session_at(url: str, retries: int) -> Any:
    """A session of Spark's Connect client at `url`, which asks again up to `retries` times.

    The client's own policy would go on for ten minutes.
    """
    spark: Any = SparkSession.builder.remote(url).getOrCreate()
    _ask(spark, retries)
    return spark


def _ask(spark: Any, retries: int) -> None:
    """Let the client ask again up to `retries` times."""
    from pyspark.sql.connect.client.retries import DefaultPolicy

    # It warns that it has asked often enough; the error says what came of it.
    warnings.filterwarnings("ignore", message=r"\[RETRIES_EXCEEDED\]")
    policy = DefaultPolicy(max_retries=retries, initial_backoff=100, max_backoff=10_000)
    spark.client.set_retry_policies([policy])


def _first_line(error: Exception) -> str:
    """What happened. An error of gRPC is many lines, one of which is `details = "..."`."""
    text = str(error)
    told = re.search(r'^\s*details = "(.+)"$', text, re.MULTILINE)
    said = [told.group(1)] if told else [line.strip() for line in text.splitlines()]
    return next((line for line in said if line), type(error).__name__)[:300]
