"""The commits of a Delta table, read straight from its log through Hadoop's file system.

`DeltaTable.history` answers the same question with a Spark job, and a pipeline asks it some hundred
times. The log is that of the Delta protocol: `_delta_log/<20-digit version>.json` holds one action
per line, `commitInfo` among them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pyspark.sql import SparkSession

COMMIT_FILE = re.compile(r"(\d{20})\.json$")


def commits(spark: SparkSession, table_path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(version, commitInfo) of the commits of a table, newest first; nothing without a table."""
    jvm: Any = spark._jvm
    folder = jvm.org.apache.hadoop.fs.Path(f"{table_path}/_delta_log")
    system = folder.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf())
    if not system.exists(folder):
        return
    names = (
        COMMIT_FILE.search(status.getPath().toString()) for status in system.listStatus(folder)
    )
    for version in sorted((match.group(1) for match in names if match), reverse=True):
        stream = system.open(jvm.org.apache.hadoop.fs.Path(folder, f"{version}.json"))
        try:
            text = jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8")
        finally:
            stream.close()
        actions = [json.loads(line) for line in text.splitlines() if line]
        yield (
            int(version),
            next((action["commitInfo"] for action in actions if "commitInfo" in action), {}),
        )
