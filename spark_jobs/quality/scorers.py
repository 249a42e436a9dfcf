"""Finds and loads scorers, which give contents a quality on [0, 1].

A scorer is a folder with a scorer.json that names its kind:

- structural: kernel ridge on structural features, whole in scorer.json (structural_scorer.py);
- language_model: a LlamaForSequenceClassification with one label (language_model_scorer.py).

With score.student a structural scorer decides the clear cases before a language model is asked
(first_pass.py).

A scorer's version is part of the key of `scores` and names everything that a score depends on. So
the rows of two scorers, or of two settings of one, never mix.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from conf.errors import SeedbedError
from conf.schema.curate import CurateConfig, ScoreSettings
from seedbed import json_object, storage
from spark_jobs.quality.first_pass import FirstPass
from spark_jobs.quality.structural_scorer import StructuralScorer
from spark_jobs.runtime.store import Store

# The file under DIR that names the run's structural scorer.
POINTER = "scorers/structural.json"


class Scorer(Protocol):
    """What a scorer must have."""

    version: str

    def score(self, texts: pa.Array, languages: list[str | None]) -> np.ndarray:
        """Quality on [0, 1], float64 (texts,); `languages` are names as in `contents`."""


def resolve_version(cfg: CurateConfig, store: Store) -> str:
    """The configured value of scores.scorer.

    Raises SeedbedError where there is no such scorer.
    """
    return version_of(resolve(cfg.score, store.root))


def resolve(settings: ScoreSettings, root: str) -> ScoreSettings:
    """`settings` with folders in place of names.

    "structural" is the scorer that fit_scorer wrote under `root`.
    """
    student = _folder(settings.student, root) if settings.student else ""
    return replace(settings, scorer=_folder(settings.scorer, root), student=student)


def _folder(scorer: str, root: str) -> str:
    if scorer != "structural":
        return scorer
    pointer = storage.read_text(root, POINTER)
    if pointer is None:
        raise SeedbedError(
            f"no structural scorer in {root}: {POINTER} does not exist",
            "run spark_jobs/fit_scorer.py with the same config first "
            "(python -m spark_jobs run does all in order)",
        )
    fix = "fit it again: spark_jobs/fit_scorer.py with the same config"
    with json_object.shaped(f"{root}/{POINTER}", "pointer to a scorer", fix):
        version = json_object.parse(pointer, f"{root}/{POINTER}", fix)["version"]
    return f"{root}/scorers/{version}"


def version_of(settings: ScoreSettings) -> str:
    """The version of the scorer that resolved `settings` name; it is not loaded."""
    card = read_card(settings.scorer)
    if card["kind"] == "structural":
        return str(card["version"])
    from spark_jobs.quality import language_model_scorer

    version = language_model_scorer.version_of(card, settings)
    if not settings.student:
        return version
    return f"{version}-after-{read_card(settings.student)['version']}-{settings.student_below:g}"


@lru_cache(maxsize=1)
def load(settings: ScoreSettings, version: str) -> Scorer:
    """The scorer of resolved `settings`, loaded once per process.

    version: from `version_of`. Raises SeedbedError where the folder holds no working scorer, or no
    longer the one of that version.
    """
    card = read_card(settings.scorer)
    if version_of(settings) != version:
        raise SeedbedError(
            f"{settings.scorer} holds scorer {card['version']} by now, no longer {version}",
            "run the job again",
        )
    if card["kind"] == "structural":
        return StructuralScorer.from_card(card)
    from spark_jobs.quality.language_model_scorer import LanguageModelScorer

    scorer = LanguageModelScorer(settings.scorer, card, settings)
    if not settings.student:
        return scorer
    student = StructuralScorer.from_card(read_card(settings.student))
    return FirstPass(version, student, scorer, settings.student_below)


def read_card(folder: str) -> dict[str, Any]:
    """The scorer.json of `folder`; raises SeedbedError for an unknown kind or no version."""
    fix = (
        "give score.scorer=structural, "
        "or a folder written by fit_scorer or megatron_train.train_scorer"
    )
    text = storage.read_text(folder, "scorer.json")
    if text is None:
        raise SeedbedError(f"score.scorer={folder} has no scorer.json", fix)
    card = json_object.parse(text, f"{folder}/scorer.json", fix)
    kind = card.get("kind")
    if kind not in ("structural", "language_model") or not card.get("version"):
        raise SeedbedError(
            f"{folder}/scorer.json has kind={kind!r} or no version: not a scorer of ours", fix
        )
    return card
