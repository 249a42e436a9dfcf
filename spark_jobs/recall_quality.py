"""contents, files, clusters, syntax, scores -> recall: finds contents like seeds of high quality.

    spark-submit spark_jobs/recall_quality.py --config conf/curate/local.yaml output=DIR

The method is that of Sec 2.2.4. The job does nothing unless recall.rounds is set.

In round 1 the seeds are commented contents with a high score, in the wanted languages and with the
wanted imports, a few per repository. The negatives are as many contents drawn at random from the
rest, and as many hard ones, which have a high score and no comment. A classifier of words and pairs
of words (seedbed/kernels/models/recall_model.py) learns from them and rates every content.

Each later round adds contents that the last one found. Where the scorer agrees they become seeds;
where it rates them low they become hard negatives. Without hard negatives nearly all contents would
rate high. `positive` is the column to select by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.errors import SeedbedError, run_cli
from conf.loader import to_dict
from conf.schema.curate import RecallSettings
from seedbed.kernels.models import recall_model
from spark_jobs.quality.scorers import resolve_version
from spark_jobs.runtime import python_map
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import CustomJob, Summary, TableJob, main
from spark_jobs.runtime.joins import having
from spark_jobs.runtime.store import TABLES

# From fewer seeds a classifier of words would learn only their own names.
MIN_SEEDS = 20
SEED, NEGATIVE = 1, 0


def params(ctx: Context) -> dict[str, Any]:
    """All that the rows depend on besides the tables."""
    return {**to_dict(ctx.cfg.recall), "scorer": resolve_version(ctx.cfg, ctx.store)}


def transform(ctx: Context) -> Iterator[tuple[str, DataFrame]]:
    """Yields (recall, rows): the table after the last round."""
    settings = ctx.cfg.recall
    with ctx.materialize(JOB.name) as materialize:
        rows = materialize(candidates(ctx), "candidates")
        examples = first_examples(rows, settings)
        for number in range(1, settings.rounds + 1):
            weights = fit(rows, examples, settings.seed)
            rated = python_map.map_in_arrow(rows, _rater(weights), _RATED_DDL)
            rated = materialize(rated, f"round {number}")
            if number < settings.rounds:
                examples |= found_examples(rated, examples, settings)
            else:
                seeds = [key for key, label in examples.items() if label == SEED]
                yield "recall", _table(rated, seeds, settings)


def candidates(ctx: Context) -> DataFrame:
    """One row per surviving, parsed and scored content: its text and the columns for seeds."""
    key = ["content_sha256", "shard"]
    scores = (
        ctx.inputs["scores"]
        .filter(F.col("scorer") == resolve_version(ctx.cfg, ctx.store))
        .select(*key, "quality")
    )
    syntax = ctx.inputs["syntax"].select(*key, "comment_share")
    places = ctx.inputs["files"].filter(F.col("drop_reason").isNull()).groupBy("content_sha256")
    rows = ctx.inputs["contents"].select(
        *key, "text", F.coalesce("language", F.lit("")).alias("language")
    )
    wanted = having(scores, ctx.inputs["clusters"].filter("survivor"), key)
    wanted = wanted.join(syntax, key).join(
        places.agg(F.min("repo").alias("repo")), "content_sha256"
    )
    return wanted.join(rows, key).fillna(0.0, ["comment_share"])


def first_examples(rows: DataFrame, settings: RecallSettings) -> dict[str, int]:
    """content_sha256 -> SEED or NEGATIVE.

    Raises SeedbedError where the conditions leave fewer than MIN_SEEDS seeds.
    """
    good = F.col("quality") >= settings.min_quality
    wanted = good & (F.col("comment_share") >= settings.min_comment_share)
    if settings.languages:
        wanted &= F.col("language").isin(settings.languages)
    if settings.imports:
        names = "|".join(settings.imports)
        wanted &= F.col("text").rlike(
            rf"(?m)^\s*(import|from|use|using|require|include|#include)\b.*\b({names})\b"
        )
    draw = _draw(settings.seed)
    spread = Window.partitionBy("repo").orderBy(draw)
    seeds = rows.filter(wanted).withColumn("place", F.row_number().over(spread))
    seeds = _keys(seeds.filter(F.col("place") <= settings.seeds_per_repo), draw, settings.seeds)
    if len(seeds) < MIN_SEEDS:
        raise SeedbedError(
            f"{len(seeds)} contents have quality >= {settings.min_quality:g}, "
            f"comments >= {settings.min_comment_share:g} and the "
            f"wanted languages and imports; a recall needs {MIN_SEEDS}",
            "lower recall.min_quality or recall.min_comment_share, "
            "or widen recall.languages or recall.imports",
        )
    hard = _keys(rows.filter(good & (F.col("comment_share") == 0)), draw, len(seeds))
    others = rows.filter(~F.col("content_sha256").isin([*seeds, *hard]))
    chance = _keys(others, draw, len(seeds))
    return {
        **dict.fromkeys(chance, NEGATIVE),
        **dict.fromkeys(hard, NEGATIVE),
        **dict.fromkeys(seeds, SEED),
    }


def found_examples(
    rated: DataFrame, examples: dict[str, int], settings: RecallSettings
) -> dict[str, int]:
    """New examples that the classifier found: content_sha256 -> SEED or NEGATIVE.

    They are seeds where the scorer agrees, and hard negatives where it rates them low.
    """
    new = rated.filter(
        (F.col("probability") >= settings.threshold) & ~F.col("content_sha256").isin(list(examples))
    )
    surest = F.struct(-F.col("probability"), "content_sha256")
    agreed = _keys(new.filter(F.col("quality") >= settings.min_quality), surest, settings.seeds)
    hard = _keys(new.filter(F.col("quality") < settings.max_hard_quality), surest, settings.seeds)
    return {**dict.fromkeys(agreed, SEED), **dict.fromkeys(hard, NEGATIVE)}


def fit(rows: DataFrame, examples: dict[str, int], seed: int) -> np.ndarray:
    """Weights of the classifier, trained on the driver with the examples in order of hash."""
    chosen = rows.filter(F.col("content_sha256").isin(list(examples))).select(
        "content_sha256", "text"
    )
    table = chosen.toArrow().sort_by("content_sha256")
    labels = np.array([examples[key] for key in table["content_sha256"].to_pylist()])
    return recall_model.train(recall_model.bags(table["text"]), labels, seed)


def _keys(rows: DataFrame, order: Column, count: int) -> list[str]:
    return [row[0] for row in rows.orderBy(order).limit(count).select("content_sha256").collect()]


def _draw(seed: int) -> Column:
    return F.sha2(F.concat(F.lit(f"{seed}:"), "content_sha256"), 256)


_RATED_DDL = "content_sha256 string, quality double, probability double, shard int"


def _rater(weights: np.ndarray) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def rate(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            probability = recall_model.probabilities(recall_model.bags(batch["text"]), weights)
            columns = {name: batch[name] for name in ("content_sha256", "quality")}
            columns |= {"probability": pa.array(np.round(probability, 6)), "shard": batch["shard"]}
            yield pa.RecordBatch.from_pydict(columns)

    return rate


def _table(rated: DataFrame, seeds: list[str], settings: RecallSettings) -> DataFrame:
    """Rows of `recall`.

    A positive is a seed, or a content that the classifier found and the scorer does not rate low.
    """
    found = (F.col("probability") >= settings.threshold) & (
        F.col("quality") >= settings.max_hard_quality
    )
    seed = F.col("content_sha256").isin(seeds)
    return rated.withColumns({"seed": seed, "positive": seed | found}).select(
        *TABLES["recall"].columns
    )


def summarize(ctx: Context) -> Summary:
    """Rated contents in and out; the notes hold the numbers of seeds and positives."""
    counts = (
        ctx.inputs["recall"]
        .agg(
            F.count("*").alias("n"),
            F.count_if("seed").alias("seeds"),
            F.count_if("positive").alias("positives"),
        )
        .first()
    )
    notes = {"seeds": counts["seeds"], "positives": counts["positives"]}
    print(
        f"recall_quality: {notes['seeds']:,} seeds found {notes['positives']:,} positives, "
        "seeds among them"
    )
    return Summary("recall_quality", counts["n"], counts["n"], notes=notes)


def run(ctx: Context) -> Summary | None:
    """Rewrite the table; None where recall.rounds is 0 or nothing changed."""
    return TABLE_JOB.run(ctx) if ctx.cfg.recall.rounds else None


TABLE_JOB = TableJob(
    "recall_quality",
    ("recall",),
    params,
    transform,
    ("contents", "files", "clusters", "syntax", "scores"),
    summarize,
    parts=lambda ctx: {"scores": {"scorer": resolve_version(ctx.cfg, ctx.store)}},
)
JOB = CustomJob(name="recall_quality", writes=("recall",), run=run, reads=TABLE_JOB.reads)

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
