"""contents, clusters, labels -> gold_scores, scores: a quality per content and scorer version.

    spark-submit spark_jobs/score_quality.py --config conf/curate/local.yaml output=DIR

A quality is a number from 0 to 1. `score.scorer` is "structural", which fit_scorer wrote to DIR, or
a folder with a scorer.json. The version is part of the key. So a second scorer adds its rows beside
those of the first, and a killed run scores only missing contents. Quality is rounded to 1e-4, far
below the error of any scorer and above the noise of batching in float32.

A new version or engine scores the gold set first. It is refused where its scores there differ too
much from those before (spark_jobs/quality/drift.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import run_cli
from conf.schema.curate import ScoreSettings
from seedbed.inference import in_process
from spark_jobs.quality import drift, scorers
from spark_jobs.runtime import gpu_stage
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import CustomJob, ShardJob, Summary, main
from spark_jobs.runtime.joins import having
from spark_jobs.runtime.store import TABLES

# Decimals of quality.
DECIMALS = 4


def run(ctx: Context) -> Summary | None:
    """Check the scorer on the gold set, then score the missing contents; None where none are."""
    if CORPUS.is_current(ctx):
        return None
    ctx.start_engine()
    card = scorers.read_card(scorers.resolve(ctx.cfg.score, ctx.store.root).scorer)
    version = drift.Version(
        scorer=scorers.resolve_version(ctx.cfg, ctx.store),
        engine=parameters(ctx).get("engine", drift.BUILT_IN),
        name=card["version"].rpartition("-")[0],
    )
    gold = drift.guard(ctx, version, score)
    summary = CORPUS.run(ctx)
    return replace(summary, notes={"gold": gold}) if summary else None


def parameters(ctx: Context) -> dict[str, Any]:
    """All that a score depends on besides the content and the scorer's version.

    For a language model that is the engine, too.
    """
    kind = scorers.read_card(scorers.resolve(ctx.cfg.score, ctx.store.root).scorer)["kind"]
    return {"decimals": DECIMALS} | (
        {"engine": in_process.version()} if kind == "language_model" else {}
    )


def asked(ctx: Context) -> dict[str, Any]:
    """The settings that decide which contents are due, and whether the scorer is refused."""
    settings = ctx.cfg.score
    names = ("scope", "max_gold_shift", "max_engine_shift")
    return {name: getattr(settings, name) for name in names} | {"oracle": ctx.cfg.labels.oracle}


def due(ctx: Context) -> DataFrame:
    """The contents in score.scope, with the configured scorer's version in column `scorer`."""
    rows = ctx.inputs["contents"]
    key = ["content_sha256", "shard"]
    if ctx.cfg.score.scope == "survivors":
        rows = having(rows, ctx.inputs["clusters"].filter("survivor"), key)
    elif ctx.cfg.score.scope == "labelled":
        labels = ctx.inputs["labels"].filter(F.col("oracle") == ctx.cfg.labels.oracle)
        rows = having(rows, labels, key)
    return rows.withColumn("scorer", F.lit(scorers.resolve_version(ctx.cfg, ctx.store)))


def score(due_rows: DataFrame, ctx: Context) -> DataFrame:
    """Rows of `scores` for the due rows of one shard."""
    rows = due_rows.select("content_sha256", "text", "language", "scorer", "shard")
    settings = scorers.resolve(ctx.cfg.score, ctx.store.root)
    # A language model takes all cores, and memory for itself.
    by_row = scorers.read_card(settings.scorer)["kind"] == "structural"
    return gpu_stage.map_in_arrow(
        rows, _scorer(settings), TABLES["scores"].ddl, ctx.cfg.spark, by_row
    )


def _scorer(
    settings: ScoreSettings,
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def score_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            # An empty partition must not start an engine.
            if not batch.num_rows:
                continue
            scorer = scorers.load(settings, batch["scorer"][0].as_py())
            quality = np.round(scorer.score(batch["text"], batch["language"].to_pylist()), DECIMALS)
            yield pa.RecordBatch.from_pydict(
                {
                    "content_sha256": batch["content_sha256"],
                    "scorer": batch["scorer"],
                    "quality": pa.array(quality, pa.float64()),
                    "shard": batch["shard"],
                }
            )

    return score_batches


CORPUS = ShardJob(
    name="score_quality",
    output="scores",
    params=parameters,
    transform=score,
    due=due,
    reads=("contents", "clusters", "labels"),
    part=lambda ctx: {"scorer": scorers.resolve_version(ctx.cfg, ctx.store)},
    asked=asked,
)
JOB = CustomJob(name="score_quality", writes=("gold_scores", "scores"), run=run, reads=CORPUS.reads)

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
