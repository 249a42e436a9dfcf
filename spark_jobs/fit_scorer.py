"""fit_scorer: contents + labels -> DIR/scorers/structural-<hash>, the scorer that needs no model and no GPU.

    spark-submit spark_jobs/fit_scorer.py --config conf/curate/local.yaml output=DIR

Kernel ridge on structural features, fitted to score / 10. Its two settings are chosen, and its error is measured, by
cross-validation over whole repositories: two versions of one file are never on both sides. An output with too few labels
for that gets the scorer that ships with Seedbed (conf/oracle/structural_scorer.json, fitted on the shipped labels), and is
told so. DIR/scorers/structural.json points to the scorer that `score.scorer: structural` means.
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
from spark_jobs import scorers, storage
from spark_jobs.job import Context, CustomJob, Summary, main
from spark_jobs.kernels import regression, structure
from spark_jobs.kernels.agreement import agreement
from spark_jobs.scorers.structural import StructuralScorer

SHIPPED = Path(conf.__file__).parent / "oracle/structural_scorer.json"
MIN_LABELS, MIN_REPOSITORIES = 100, 5  # below either, cross-validation over repositories says nothing
FOLDS = 10
WIDTHS = (0.5, 1.0, 2.0)  # of the kernel; the error is flat around the best of both grids
PENALTIES = (0.03, 0.1, 0.3)
LINEAR_PENALTY = 30.0  # of the linear floor; its error is flat from 3 to 100


def run(ctx: Context) -> Summary | None:
    """Fit where labels or features changed since the last fit; None where they did not."""
    root, reads = ctx.store.root, JOB.reads
    made_from = {
        "labels": ctx.inputs.version("labels"), "oracle": ctx.cfg.labels.oracle, "features": structure.VERSION,
    }  # fmt: skip
    pointer = json.loads(storage.read_text(root, scorers.POINTER) or "{}")
    if pointer.get("made_from") == made_from:
        return None
    examples = labelled_features(ctx)
    repositories = len(set(examples["repo"]))
    if len(examples["score"]) < MIN_LABELS or repositories < MIN_REPOSITORIES:
        text = SHIPPED.read_text()
        metrics: dict[str, Any] = {}
        print(
            f"fit_scorer: {len(examples['score'])} labels in {repositories} repositories "
            f"(a fit needs {MIN_LABELS} in {MIN_REPOSITORIES}): the scorer that ships with Seedbed is used"
        )
    else:
        scorer, facts = fit(examples)
        metrics = facts["metrics"]
        source = {"oracle": ctx.cfg.labels.oracle, "count": len(examples["score"]), "repositories": repositories}
        text = scorer.card({**facts, "labels": source, "tables": {table: ctx.inputs.version(table) for table in reads}})
        print(table_of(metrics, repositories))
    version = json.loads(text)["version"]
    storage.write_text(root, f"scorers/{version}/scorer.json", text)
    storage.write_text(root, scorers.POINTER, json.dumps({"version": version, "made_from": made_from}) + "\n")
    notes = {"scorer": version, "shipped": not metrics, **metrics}
    return Summary("fit_scorer", rows_in=len(examples["score"]), rows_out=1, notes=notes)


def labelled_features(ctx: Context) -> dict[str, Any]:
    """Arrays by name, in order of content hash: features (n x f), score and second_score (0-10), language and repo.

    A content in several repositories counts as the first one's by name.
    """
    key = ["content_sha256", "shard"]
    labels = ctx.inputs["labels"].filter(F.col("oracle") == ctx.cfg.labels.oracle)
    texts = ctx.inputs["contents"].select(*key, "text", "language")
    rows = texts.join(labels.select(*key, "score", "second_score"), key).mapInArrow(
        _with_features,
        "content_sha256 string, features array<double>, score double, second_score double, language string",
    )
    repos = ctx.inputs["files"].groupBy("content_sha256").agg(F.min("repo").alias("repo"))
    table = rows.join(repos, "content_sha256", "left").toArrow().sort_by("content_sha256")
    examples: dict[str, Any] = {name: table[name].to_pylist() for name in ("language", "repo")}
    for name in ("score", "second_score"):
        examples[name] = table[name].to_numpy().astype(np.float64)  # a label read once has NaN for its second score
    flat = table["features"].combine_chunks().flatten().to_numpy()
    examples["features"] = flat.reshape(-1, len(structure.FEATURES))
    return examples


def _with_features(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        matrix = structure.features(batch["text"], batch["language"].to_pylist())
        offsets = np.arange(0, matrix.size + 1, matrix.shape[1], dtype=np.int32)
        columns = {name: batch[name] for name in ("content_sha256", "score", "second_score", "language")}
        columns["features"] = pa.ListArray.from_arrays(offsets, matrix.ravel())
        order = ("content_sha256", "features", "score", "second_score", "language")
        yield pa.RecordBatch.from_pydict({name: columns[name] for name in order})


def fit(examples: dict[str, Any]) -> tuple[StructuralScorer, dict[str, Any]]:
    """The scorer fitted on every example, and how its settings were chosen and what cross-validation measured."""
    x, score = examples["features"], examples["score"]
    fold = regression.group_folds(examples["repo"], FOLDS)
    grid = regression.out_of_fold(x, score / 10, fold, WIDTHS, PENALTIES)
    (w, p), honest = regression.choose(grid, score / 10, fold)
    scorer = StructuralScorer.of(regression.fit(x, score / 10, WIDTHS[w], PENALTIES[p]))
    predicted = _on_label_scale(honest)
    linear = _on_label_scale(regression.out_of_fold_linear(x, score / 10, fold, LINEAR_PENALTY))
    twice = ~np.isnan(examples["second_score"])
    metrics = {
        "cross_validated": agreement(score, predicted),
        "linear_ridge": agreement(score, linear),
        "mean_of_labels": agreement(score, np.full(len(score), score.mean())),
        "by_language": {
            name: agreement(score[rows], predicted[rows])
            for name in sorted({str(language) for language in examples["language"]})
            if (rows := np.array([str(language) == name for language in examples["language"]])).any()
        },
    }
    if twice.any():
        metrics["second_reading"] = agreement(score[twice], examples["second_score"][twice])
    return scorer, {
        "fit": {"width": WIDTHS[w], "penalty": PENALTIES[p], "folds": int(fold.max()) + 1},
        "metrics": metrics,
    }


def _on_label_scale(quality: np.ndarray) -> np.ndarray:
    return np.clip(quality, 0.0, 1.0) * 10


def table_of(metrics: dict[str, Any], repositories: int) -> str:
    """The figures as a table for people."""
    names = {
        "cross_validated": "this scorer", "linear_ridge": "linear ridge", "mean_of_labels": "mean of labels",
        "second_reading": "oracle, read twice",
    }  # fmt: skip
    lines = [
        f"fit_scorer: errors on the 0-10 scale, cross-validated over {repositories} repositories",
        f"  {'':<20}{'files':>6}{'MAE':>8}{'cMAE':>8}{'Spearman':>10}{'within 1':>10}{'zeros found':>13}",
    ]
    for key, name in names.items():
        if key in metrics:
            m = metrics[key]
            lines.append(
                f"  {name:<20}{m['files']:>6}{m['mae']:>8.2f}{m['cmae']:>8.2f}{m['spearman']:>10.2f}"
                f"{m['within_1']:>10.0%}{m['zero_recall']:>13.0%}"
            )
    return "\n".join(lines)


JOB = CustomJob(name="fit_scorer", writes=(), run=run, reads=("contents", "labels", "files"))

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
