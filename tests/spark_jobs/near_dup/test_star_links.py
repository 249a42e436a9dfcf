"""Stars by the engine: what a task holds."""

from __future__ import annotations

import pytest

from spark_jobs.near_dup.stars import star_links
from spark_jobs.runtime import session


@pytest.mark.parametrize("cap", [2, 100], ids=["hot buckets", "none is hot"])
def test_sail_reads_a_sorted_star_row_by_row(spark, capsys, cap):
    if session.engine().name != "sail":
        pytest.skip("Spark's window spills, with an order or without")
    rows = [(bytes([n]), 0, n % 2) for n in range(9)]
    members = spark.createDataFrame(rows, "sha binary, band int, key long")
    hot = members.groupBy("band", "key").count().withColumnRenamed("count", "size")
    hot = hot.filter(f"size > {cap}")
    links = star_links(members, hot, cap)
    links.explain()
    plan = capsys.readouterr().out
    # WindowAggExec alone holds all rows of its task (DataFusion's name of the plan).
    assert "BoundedWindowAggExec" in plan
    assert plan.count("WindowAggExec") == plan.count("BoundedWindowAggExec")
    assert {row["hub"] < row["sha"] for row in links.collect()} == {True}
