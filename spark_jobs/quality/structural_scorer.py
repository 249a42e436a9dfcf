"""The structural scorer: a rule, then two outputs of kernel ridge on structural features.

The features are those of seedbed/kernels/source_code/structure.py. A file that announces that a
program wrote it gets 0. For any other file, the first output is the certainty that the zero policy
holds, and the second is the score where it does not hold.

Labels form two clusters, at 0 and around 6. A single regression would predict a score between them,
which no file ever gets. Here a file that is taken for a zero scores near 0, in order of certainty,
so that a cut among such files is not random. scorer.json is the whole model.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from conf.errors import SeedbedError
from seedbed.kernels.models.regression import Model
from seedbed.kernels.source_code import generated, structure

# The versions of all that a model was fitted with. A card names them.
_READS = f"{structure.VERSION}+{generated.VERSION}+two-stages-2"

# Outputs with Huber's loss: the score is judged by absolute error. The certainty keeps squares.
ROBUST = (1,)
# Files taken for zeros get [0, ZERO_SPAN / 2], at most half a point of ten.
ZERO_SPAN = 0.1


def targets(score: np.ndarray) -> np.ndarray:
    """Targets of the two outputs, float64 (n, 2), from labels (n,) on the 0-10 scale.

    The first is 1 for a zero, else 0. The second is label / 10, or NaN for a zero.
    """
    return np.stack([score == 0, np.where(score == 0, np.nan, score / 10)], axis=1).astype(
        np.float64
    )


def quality_of(outputs: np.ndarray) -> np.ndarray:
    """Quality on [0, 1] from the two outputs, shape (..., 2)."""
    zero, rest = np.clip(outputs[..., 0], 0.0, 1.0), np.clip(outputs[..., 1], 0.0, 1.0)
    return np.where(zero > 0.5, ZERO_SPAN * (1.0 - zero), rest)


@dataclass(frozen=True)
class StructuralScorer:
    """A fitted model with the outputs certainty of zero and quality, and its version."""

    version: str
    model: Model

    @classmethod
    def of(cls, model: Model) -> StructuralScorer:
        """A scorer named by a hash of its model, so that a fit has one version on every machine."""
        canonical = json.dumps([_READS, _plain(model)], sort_keys=True, separators=(",", ":"))
        return cls(f"structural-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}", model)

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> StructuralScorer:
        """The scorer of a scorer.json.

        Raises SeedbedError for a card that is incomplete or was fitted on other features.
        """
        features = card.get("features", {})
        if (features.get("version"), tuple(features.get("names", ()))) != (
            _READS,
            structure.FEATURES,
        ):
            raise SeedbedError(
                f"scorer {card['version']} was fitted on features {features.get('version')}, "
                f"this code computes {_READS}",
                "fit it again: run spark_jobs/fit_scorer.py",
            )
        fields = card.get("model", {})
        try:
            arrays = {
                name: np.array(fields[name], np.float64)
                for name in ("mean", "std", "scale", "centres", "weights", "intercept")
            }
            model = Model(**arrays, width=float(fields["width"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SeedbedError(
                f"scorer {card['version']}: its model is damaged ({error})", "fit it again"
            ) from error
        return cls(card["version"], model)

    def card(self, facts: dict[str, Any]) -> str:
        """The text of scorer.json; `facts` describe the fit and its errors."""
        head = {"kind": "structural", "version": self.version, **facts}
        features = {"version": _READS, "names": structure.FEATURES}
        return json.dumps({**head, "features": features, "model": _plain(self.model)}) + "\n"

    def score(self, texts: pa.Array, languages: list[str | None]) -> np.ndarray:
        """Quality on [0, 1], float64 (texts,)."""
        quality = quality_of(self.model.predict(structure.features(texts, languages)))
        return np.where(generated.is_generated(texts), 0.0, quality)


def _plain(model: Model) -> dict[str, Any]:
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(model).items()}
