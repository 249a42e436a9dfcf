"""The structural scorer: kernel ridge on `kernels/structure.py`'s features. Its scorer.json is the whole model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from conf.errors import SeedbedError
from spark_jobs.kernels import structure
from spark_jobs.kernels.regression import Model


@dataclass(frozen=True)
class StructuralScorer:
    version: str
    model: Model  # predicts label / 10

    @classmethod
    def of(cls, model: Model) -> StructuralScorer:
        """Names the model by its parameters: the same fit has the same version on every machine."""
        canonical = json.dumps([structure.VERSION, _plain(model)], sort_keys=True, separators=(",", ":"))
        return cls(f"structural-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}", model)

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> StructuralScorer:
        """Raises SeedbedError for a card that is cut short or was fitted on other features."""
        features = card.get("features", {})
        if (features.get("version"), tuple(features.get("names", ()))) != (structure.VERSION, structure.FEATURES):
            raise SeedbedError(
                f"scorer {card['version']} was fitted on features {features.get('version')}, "
                f"this code computes {structure.VERSION}",
                "fit it again: run spark_jobs/fit_scorer.py",
            )
        fields = card.get("model", {})
        try:
            arrays = {name: np.array(fields[name], np.float64) for name in ("mean", "std", "centres", "weights")}
            model = Model(**arrays, intercept=float(fields["intercept"]), width=float(fields["width"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SeedbedError(f"scorer {card['version']}: its model is damaged ({error})", "fit it again") from error
        return cls(card["version"], model)

    def card(self, facts: dict[str, Any]) -> str:
        """The text of scorer.json; `facts` tell how the fit was made and what it measured."""
        head = {"kind": "structural", "version": self.version, **facts}
        features = {"version": structure.VERSION, "names": structure.FEATURES}
        return json.dumps({**head, "features": features, "model": _plain(self.model)}) + "\n"

    def score(self, texts: pa.Array, languages: list[str | None]) -> np.ndarray:
        return np.clip(self.model.predict(structure.features(texts, languages)), 0.0, 1.0)


def _plain(model: Model) -> dict[str, Any]:
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(model).items()}
