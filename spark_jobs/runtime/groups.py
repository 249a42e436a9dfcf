"""Python functions that get the rows of one group at a time, on every engine.

The rows of a group come in any order: no engine promises one. Groups must be of bounded size, since
a worker holds a whole one.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
from pyspark.sql import DataFrame

from spark_jobs.runtime import session


def apply_to_groups(
    rows: DataFrame, key: str, tasks: int, function: Callable[[pa.Table], pa.Table], ddl: str
) -> DataFrame:
    """The rows that `function` makes of the rows of each value of `key`.

    tasks: over how many tasks to spread the groups; at least as many as run at once, since Sail
        undoes fewer. An engine that runs all of them at once takes less, so that its memory stays.

    Rows are sorted by the key first. Without that Sail holds all groups of a task until it has read
    the last row: it counted 4 GB for 0.3 GB of text, and refused. With it a group ends where the
    next one begins, and sorting spills.
    """
    together = rows.repartition(session.engine().sorting_tasks(tasks), key).sortWithinPartitions(
        key
    )
    return together.groupBy(key).applyInArrow(function, ddl)
