"""Scorers: what turns contents into quality on [0, 1]. A scorer is a folder with a scorer.json that says its kind.

    structural      kernel ridge on structural features, all of it in scorer.json       (scorers/structural.py)
    language_model  LlamaForSequenceClassification with one label, served by vLLM       (scorers/language_model.py)

A scorer's version stands in the key of `scores` and names everything a score depends on, so two scorers, or two settings
of one, lie side by side and never mix.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from conf.errors import SeedbedError
from conf.schema.curate import CurateConfig, ScoreSettings
from spark_jobs import storage
from spark_jobs.tables import Store

POINTER = "scorers/structural.json"  # DIR/...: which structural scorer this output uses


class Scorer(Protocol):
    version: str

    def score(self, texts: pa.Array, languages: list[str | None]) -> np.ndarray:
        """Quality (float64, [0, 1]) of each text; `languages` are names as in `contents`."""


def resolve_version(cfg: CurateConfig, store: Store) -> str:
    """The value of scores.scorer that `cfg` asks for. Raises SeedbedError where there is no such scorer."""
    return version_of(folder_of(cfg.score, store.root), cfg.score)


def folder_of(settings: ScoreSettings, root: str) -> str:
    """The folder of the scorer that `settings` names; "structural" is the one that fit_scorer left under `root`."""
    if settings.scorer != "structural":
        return settings.scorer
    pointer = storage.read_text(root, POINTER)
    if pointer is None:
        raise SeedbedError(
            f"no structural scorer in {root}: {POINTER} does not exist",
            "run spark_jobs/fit_scorer.py with the same config first (python -m spark_jobs run does all in order)",
        )
    return f"{root}/scorers/{json.loads(pointer)['version']}"


def version_of(folder: str, settings: ScoreSettings) -> str:
    """The version of the scorer in `folder` under `settings`, without loading it."""
    card = read_card(folder)
    if card["kind"] == "structural":
        return str(card["version"])
    from spark_jobs.scorers import language_model

    return language_model.version_of(card, settings)


@lru_cache(maxsize=1)
def load(folder: str, settings: ScoreSettings, version: str) -> Scorer:
    """The scorer in `folder`, loaded once in a process.

    Raises SeedbedError where the folder holds no working scorer, or another than `version` (of `version_of`) by now.
    """
    card = read_card(folder)
    if version_of(folder, settings) != version:
        raise SeedbedError(f"{folder} holds scorer {card['version']} by now, no longer {version}", "run the job again")
    if card["kind"] == "structural":
        from spark_jobs.scorers.structural import StructuralScorer

        return StructuralScorer.from_card(card)
    from spark_jobs.scorers.language_model import LanguageModelScorer

    return LanguageModelScorer(folder, card, settings)


def read_card(folder: str) -> dict[str, Any]:
    """scorer.json of `folder`, with a known kind and a version."""
    fix = "give score.scorer=structural, or a folder written by fit_scorer or megatron_train.train_scorer"
    text = storage.read_text(folder, "scorer.json")
    if text is None:
        raise SeedbedError(f"score.scorer={folder} has no scorer.json", fix)
    try:
        card = json.loads(text)
    except json.JSONDecodeError as error:
        raise SeedbedError(f"{folder}/scorer.json is not valid JSON: {error}", fix) from error
    kind = card.get("kind") if isinstance(card, dict) else None
    if kind not in ("structural", "language_model") or not card.get("version"):
        raise SeedbedError(f"{folder}/scorer.json has kind={kind!r} or no version: not a scorer of ours", fix)
    return dict(card)
