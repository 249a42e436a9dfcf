"""contents, labels, files -> DIR/scorers/structural-<hash>: the scorer without model and GPU.

    spark-submit spark_jobs/fit_scorer.py --config conf/curate/local.yaml output=DIR

A file that announces that a program wrote it gets 0. For the others kernel ridge on structural
features learns where the zero policy holds, and the score of the rest
(spark_jobs/quality/structural_scorer.py). Cross-validation over whole repositories chooses the
settings and measures the error, so two versions of one file are never on both sides.

A run with too few labels gets the scorer that ships with Seedbed, and the job prints a note. That
scorer is conf/oracle/structural_scorer.json, fitted on the shipped labels.
DIR/scorers/structural.json points to the scorer that `score.scorer: structural` names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

import conf
from conf.errors import run_cli
from seedbed import storage
from seedbed.kernels.models import regression
from seedbed.kernels.models.agreement import agreement, calibration, intervals
from seedbed.kernels.source_code import generated, structure
from spark_jobs.quality import scorers
from spark_jobs.quality.structural_scorer import ROBUST, StructuralScorer, quality_of, targets
from spark_jobs.runtime import python_map
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import CustomJob, Summary, main

SHIPPED = Path(conf.__file__).parent / "oracle/structural_scorer.json"
# Of files that are not marked as generated. With fewer, cross-validation over repositories is void.
MIN_LABELS, MIN_REPOSITORIES = 100, 5
FOLDS = 10
# Settings of the kernel. The error is flat around the best of both lists.
WIDTHS = (0.25, 0.5, 1.0)
PENALTIES = (0.03, 0.1, 0.3)
GRID = regression.RidgeSettings(WIDTHS, PENALTIES)
# Of the linear baseline. Its error is flat from 3 to 100.
LINEAR_PENALTY = 30.0


def run(ctx: Context) -> Summary | None:
    """Fit a scorer; None where labels and features have not changed since the last fit."""
    root, reads = ctx.store.root, JOB.reads
    made_from = {
        "labels": ctx.inputs.version("labels"),
        "oracle": ctx.cfg.labels.oracle,
        "features": structure.VERSION,
        "rules": generated.VERSION,
    }
    pointer = json.loads(storage.read_text(root, scorers.POINTER) or "{}")
    if pointer.get("made_from") == made_from:
        return None
    ctx.start_engine()
    examples = labelled_features(ctx)
    learnt = [
        repo
        for repo, marked in zip(examples["repo"], examples["generated"], strict=True)
        if not marked
    ]
    repositories = len(set(examples["repo"]))
    if len(learnt) < MIN_LABELS or len(set(learnt)) < MIN_REPOSITORIES:
        text = SHIPPED.read_text()
        metrics: dict[str, Any] = {}
        print(
            f"fit_scorer: {len(learnt)} labels in {len(set(learnt))} repositories "
            f"(a fit needs {MIN_LABELS} in {MIN_REPOSITORIES}): "
            "the scorer that ships with Seedbed is used"
        )
    else:
        scorer, facts = fit(examples)
        metrics = facts["metrics"]
        source = {
            "oracle": ctx.cfg.labels.oracle,
            "count": len(examples["score"]),
            "repositories": repositories,
        }
        text = scorer.card(
            {
                **facts,
                "labels": source,
                "tables": {table: ctx.inputs.version(table) for table in reads},
            }
        )
        print(table_of(metrics, repositories))
    version = json.loads(text)["version"]
    storage.write_text(root, f"scorers/{version}/scorer.json", text)
    storage.write_text(
        root, scorers.POINTER, json.dumps({"version": version, "made_from": made_from}) + "\n"
    )
    notes = {"scorer": version, "shipped": not metrics, **metrics}
    return Summary("fit_scorer", rows_in=len(examples["score"]), rows_out=1, notes=notes)


def labelled_features(ctx: Context) -> dict[str, Any]:
    """Columns of the labelled contents by name, in order of content hash.

    features: float64 (n, features). generated: bool (n,). score, second_score: float64 (n,), 0-10;
    NaN where a file was read once. language, repo: lists. A content of several repositories counts
    as the first one's by name.
    """
    key = ["content_sha256", "shard"]
    labels = ctx.inputs["labels"].filter(
        (F.col("oracle") == ctx.cfg.labels.oracle) & F.col("score").isNotNull()
    )
    texts = ctx.inputs["contents"].select(*key, "text", "language")
    rows = python_map.map_in_arrow(
        labels.select(*key, "score", "second_score").join(texts, key),
        _with_features,
        "content_sha256 string, features array<double>, generated boolean, score double, "
        "second_score double, language string",
    )
    repos = ctx.inputs["files"].groupBy("content_sha256").agg(F.min("repo").alias("repo"))
    table = rows.join(repos, "content_sha256", "left").toArrow().sort_by("content_sha256")
    examples: dict[str, Any] = {name: table[name].to_pylist() for name in ("language", "repo")}
    for name in ("score", "second_score"):
        # A file that was read once gets NaN for its second score.
        examples[name] = table[name].to_numpy().astype(np.float64)
    examples["generated"] = table["generated"].to_numpy()
    flat = table["features"].combine_chunks().flatten().to_numpy()
    examples["features"] = flat.reshape(-1, len(structure.FEATURES))
    return examples


def _with_features(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        matrix = structure.features(batch["text"], batch["language"].to_pylist())
        offsets = np.arange(0, matrix.size + 1, matrix.shape[1], dtype=np.int32)
        columns = {
            name: batch[name] for name in ("content_sha256", "score", "second_score", "language")
        }
        columns["features"] = pa.ListArray.from_arrays(offsets, matrix.ravel())
        columns["generated"] = pa.array(generated.is_generated(batch["text"]))
        order = ("content_sha256", "features", "generated", "score", "second_score", "language")
        yield pa.RecordBatch.from_pydict({name: columns[name] for name in order})


def fit(examples: dict[str, Any]) -> tuple[StructuralScorer, dict[str, Any]]:
    """(scorer, facts): the scorer fitted on all examples, its settings and the measured errors.

    examples: from `labelled_features`. The errors come from cross-validation.
    """
    score, repo, marked = examples["score"], np.asarray(examples["repo"]), examples["generated"]
    fold = regression.group_folds(examples["repo"], FOLDS)
    x, y, inner = examples["features"][~marked], score[~marked] / 10, fold[~marked]
    goal = targets(score[~marked])
    grid = quality_of(regression.out_of_fold(x, goal, inner, GRID, structure.SCALES, ROBUST))
    (w, p), honest = regression.choose(grid, y, inner)
    scorer = StructuralScorer.of(
        regression.fit(x, goal, WIDTHS[w], PENALTIES[p], structure.SCALES, ROBUST)
    )
    predicted, linear = np.zeros(len(score)), np.zeros(len(score))
    predicted[~marked] = honest * 10
    linear[~marked] = _on_label_scale(regression.out_of_fold_linear(x, y, inner, LINEAR_PENALTY))
    languages = np.array([str(language) for language in examples["language"]])
    rows_of = {name: languages == name for name in sorted(set(languages))}
    twice = ~np.isnan(examples["second_score"])
    metrics = {
        "cross_validated": agreement(score, predicted)
        | {"intervals": intervals(score, predicted, repo)},
        "linear_ridge": agreement(score, linear),
        "mean_of_labels": agreement(score, np.full(len(score), score.mean())),
        "by_language": {
            name: agreement(score[rows], predicted[rows])
            | {"calibration": calibration(score[rows], predicted[rows])}
            for name, rows in rows_of.items()
        },
    }
    if twice.any():
        metrics["second_reading"] = agreement(score[twice], examples["second_score"][twice])
        metrics["on_files_read_twice"] = agreement(score[twice], predicted[twice])
    return scorer, {
        "fit": {
            "width": WIDTHS[w],
            "penalty": PENALTIES[p],
            "folds": int(fold.max()) + 1,
            "marked_generated": int(marked.sum()),
        },
        "metrics": metrics,
    }


def _on_label_scale(quality: np.ndarray) -> np.ndarray:
    return np.clip(quality, 0.0, 1.0) * 10


def table_of(metrics: dict[str, Any], repositories: int) -> str:
    """The figures as a text table, with 95% intervals of this scorer's errors."""
    names = {
        "cross_validated": "this scorer",
        "linear_ridge": "linear ridge",
        "mean_of_labels": "mean of labels",
        "second_reading": "oracle, read twice",
        "on_files_read_twice": "scorer on those",
    }
    lines = [
        f"fit_scorer: errors on the 0-10 scale, cross-validated over {repositories} repositories",
        f"  {'':<20}{'files':>6}{'MAE':>8}{'cMAE':>8}{'Spearman':>10}{'within 1':>10}"
        f"{'zeros found':>13}",
        *(_line(name, metrics[key]) for key, name in names.items() if key in metrics),
        "  by language",
        *(
            _line(name, m)
            for name, m in sorted(
                metrics["by_language"].items(), key=lambda item: -item[1]["files"]
            )
        ),
    ]
    spans = {
        name: f"{low:.2f}-{high:.2f}"
        for name, (low, high) in metrics["cross_validated"]["intervals"].items()
    }
    told = f"MAE {spans['mae']}, cMAE {spans['cmae']}, Spearman {spans['spearman']}"
    return "\n".join([*lines, f"  95% intervals of this scorer, by drawing repositories: {told}"])


def _line(name: str, m: dict[str, Any]) -> str:
    return (
        f"  {name:<20}{m['files']:>6}{m['mae']:>8.2f}{m['cmae']:>8.2f}{m['spearman']:>10.2f}"
        f"{m['within_1']:>10.0%}{m['zero_recall']:>13.0%}"
    )


JOB = CustomJob(name="fit_scorer", writes=(), run=run, reads=("contents", "labels", "files"))

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
