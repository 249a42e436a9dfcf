"""The newest commit of a Delta table, read straight from its log through Hadoop's file system.

`DeltaTable.history(1)` answers the same question with a Spark job; a pipeline asks it some hundred times. The log's format
is the Delta protocol's: `_delta_log/<20-digit version>.json`, one action a line, `commitInfo` among them.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pyspark.sql import SparkSession

COMMIT_FILE = re.compile(r"(\d{20})\.json$")


def newest_commit(spark: SparkSession, table_path: str) -> tuple[int, dict[str, Any]] | None:
    """(version, commitInfo) of the newest commit of the table at `table_path`; None where there is no table."""
    jvm = spark._jvm
    folder = jvm.org.apache.hadoop.fs.Path(f"{table_path}/_delta_log")  # type: ignore[union-attr]
    system = folder.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf())
    if not system.exists(folder):
        return None
    versions = [
        match for status in system.listStatus(folder) if (match := COMMIT_FILE.search(status.getPath().toString()))
    ]
    if not versions:
        return None
    newest = max(match.group(1) for match in versions)
    stream = system.open(jvm.org.apache.hadoop.fs.Path(folder, f"{newest}.json"))  # type: ignore[union-attr]
    try:
        text = jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8")  # type: ignore[union-attr]
    finally:
        stream.close()
    info = next(
        (action["commitInfo"] for line in text.splitlines() if "commitInfo" in (action := json.loads(line))), {}
    )
    return int(newest), info
