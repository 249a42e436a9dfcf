"""Labelled texts of a run's tables, and their split by repository."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as arrow
from deltalake import DeltaTable

from conf.errors import SeedbedError
from conf.schema.pretrain import ScorerConfig
from seedbed.kernels.models import agreement
from seedbed.kernels.tokens.plain_text import plain_tokenizer_of

# Groups of repositories in cross-validation.
FOLDS = 5


@dataclass(frozen=True)
class LabelledText:
    """The leading tokens of one content, its label on [0, 1], and one repository that holds it."""

    ids: list[int]
    label: float
    repo: str
    language: str


def read_labelled_texts(run: Path, base: Path, scorer: ScorerConfig) -> list[LabelledText]:
    """The labelled contents in order of their hash, as the tokenizer in `base` cuts them.

    Where several repositories hold a content, it gets the first of them by name.
    """
    # Not every answer of the oracle held a rating.
    rated = (arrow.field("oracle") == scorer.oracle) & arrow.field("score").is_valid()
    labels = _rows(run, "labels", ["content_sha256", "score"], rated)
    if not labels:
        raise SeedbedError(
            f"{run / 'tables/labels'} has no labels of oracle {scorer.oracle}",
            "run the job label_quality",
        )
    score = {row["content_sha256"]: row["score"] for row in labels}
    wanted = arrow.field("content_sha256").isin(list(score))
    repos: dict[str, str] = {}
    for row in _rows(run, "files", ["content_sha256", "repo"], wanted):
        key = row["content_sha256"]
        repos[key] = min(repos.get(key, row["repo"]), row["repo"])
    contents = {
        row["content_sha256"]: row
        for row in _rows(run, "contents", ["content_sha256", "text", "language"], wanted)
    }
    tokenizer = plain_tokenizer_of(base)
    texts = []
    for key, row in sorted(contents.items()):
        ids = tokenizer.encode(row["text"], add_special_tokens=False).ids[: scorer.max_tokens]
        if ids:
            texts.append(
                LabelledText(ids, score[key] / 10, repos.get(key, ""), str(row["language"]))
            )
    return texts


def held_out_repos(repos: list[str], share: float, seed: int) -> set[str]:
    """Whole repositories, in an order drawn from the seed, that hold `share` of the files."""
    order = sorted(set(repos), key=lambda repo: hashlib.sha256(f"{seed}:{repo}".encode()).digest())
    held: set[str] = set()
    for repo in order:
        if sum(r in held for r in repos) >= share * len(repos):
            break
        held.add(repo)
    return held


def folds(repos: list[str], seed: int) -> np.ndarray:
    """A number below FOLDS for each file, the same for all files of a repository.

    Each repository, in an order drawn from the seed, goes to the fold that is smallest so far.
    """
    order = sorted(set(repos), key=lambda repo: hashlib.sha256(f"{seed}:{repo}".encode()).digest())
    sizes, fold = [0] * FOLDS, {}
    for repo in order:
        fold[repo] = sizes.index(min(sizes))
        sizes[fold[repo]] += repos.count(repo)
    return np.array([fold[repo] for repo in repos])


def errors(texts: list[LabelledText], predicted: np.ndarray, guess: np.ndarray) -> dict[str, Any]:
    """Errors on the labels' scale of 0 to 10, in all and by language.

    The 95 % intervals come from resampling whole repositories. predicted and guess are on [0, 1];
    guess is, for each text, the mean label of the texts that were learnt from.
    """
    labels, scores = np.array([10 * text.label for text in texts]), 10 * predicted
    languages = np.array([text.language for text in texts])
    return {
        **agreement.agreement(labels, scores),
        "mae_of_the_mean": round(agreement.mae(labels, 10 * guess), 4),
        "intervals": agreement.intervals(labels, scores, [text.repo for text in texts]),
        "by_language": {
            name: agreement.agreement(labels[languages == name], scores[languages == name])
            for name in sorted(set(languages))
        },
    }


def too_few(texts: list[LabelledText]) -> SeedbedError:
    """The error for labels that leave nothing to learn from, or nothing to measure on."""
    return SeedbedError(
        f"{len(texts)} labelled files of {len({text.repo for text in texts})} repositories "
        "cannot be split into two parts",
        "label files of more repositories, or change scorer.holdout",
    )


def _rows(run: Path, table: str, columns: list[str], where: Any) -> list[dict[str, Any]]:
    path = run / "tables" / table
    if not path.is_dir():
        raise SeedbedError(
            f"table {path} does not exist",
            "curate first: python -m spark_jobs run --config FILE output=DIR",
        )
    return (
        DeltaTable(str(path))
        .to_pyarrow_dataset()
        .to_table(columns=columns, filter=where)
        .to_pylist()
    )
