"""Spark reads what post-training wrote with delta-rs, and its lineage."""

from __future__ import annotations

import json

from rl.training.run_tables import StageTables
from seedbed.queries.certify import certify
from seedbed.tables.log import commits


def test_spark_reads_the_rollouts_their_lists_and_their_lineage(spark, tmp_path):
    log = StageTables(str(tmp_path), "grpo", {"settings": "s"})
    log.begin("rollouts")
    log.samples(
        [{"task_id": "t", "verdict": "pass", "tokens": [1, 2], "logprobs": [-0.5, -1.0]}] * 2
    )
    log.begin("rollouts")
    log.samples(
        [{"task_id": "t", "verdict": "pass", "tokens": [1, 2], "logprobs": [-0.5, -1.0]}] * 3
    )
    path = str(tmp_path / "tables/rollouts")
    rows = (
        spark.read.format("delta")
        .load(path)
        .selectExpr("stage", "place", "tokens[1] AS t", "logprobs[0] AS p")
        .collect()
    )
    assert sorted((row.stage, row.place, row.t, row.p) for row in rows) == [
        ("grpo", n, 2, -0.5) for n in range(3)
    ]
    assert spark.read.format("delta").option("versionAsOf", 1).load(path).count() == 2
    _, newest = next(iter(commits(path)))
    assert json.loads(newest["userMetadata"])["job"] == "rl.grpo"
    assert certify(str(tmp_path), []).startswith("rollouts")
