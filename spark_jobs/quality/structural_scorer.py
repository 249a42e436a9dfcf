"""The structural scorer: a rule, then two stages of kernel ridge on
`seedbed/kernels/source_code/structure.py`'s features.

A file that says that a program wrote it is 0. Of any other, the first output tells how surely the
zero policy holds, the second what the score is where it does not. Labels lie in two heaps, at 0 and
around 6; a single regression answers with their mean, which is no score that a file ever gets.
Below the likelier half the answer is near 0 instead, and still in order of certainty, so that a cut
among such files is no lottery. scorer.json is the whole model.
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

# what a card's model was fitted beside
_READS = f"{structure.VERSION}+{generated.VERSION}+two-stages-2"


# of the two outputs: scores are judged by absolute error; certainty of zero keeps its squares
ROBUST = (1,)
# files taken for zero get [0, ZERO_SPAN / 2]: half a point of ten at most
ZERO_SPAN = 0.1


def targets(score: np.ndarray) -> np.ndarray:
    """Labels (0-10) -> what the two outputs learn (n x 2): is it zero; label / 10 where it is not,
    else NaN.
    """
    return np.stack([score == 0, np.where(score == 0, np.nan, score / 10)], axis=1).astype(
        np.float64
    )


def quality_of(outputs: np.ndarray) -> np.ndarray:
    """The two outputs (... x 2) -> quality on [0, 1]."""
    zero, rest = np.clip(outputs[..., 0], 0.0, 1.0), np.clip(outputs[..., 1], 0.0, 1.0)
    return np.where(zero > 0.5, ZERO_SPAN * (1.0 - zero), rest)


@dataclass(frozen=True)
class StructuralScorer:
    version: str
    # outputs: certainty of zero, quality of what is not
    model: Model

    @classmethod
    def of(cls, model: Model) -> StructuralScorer:
        """Names the model by its parameters: the same fit has the same version on every machine."""
        canonical = json.dumps([_READS, _plain(model)], sort_keys=True, separators=(",", ":"))
        return cls(f"structural-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}", model)

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> StructuralScorer:
        """Raises SeedbedError for a card that is cut short or was fitted on other features."""
        features = card.get("features", {})
        if (features.get("version"), tuple(features.get("names", ()))) != (
            _READS,
            structure.FEATURES,
        ):
            raise SeedbedError(
                f"scorer {card['version']} was fitted on features {features.get('version')}, this code computes {_READS}",
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
        """The text of scorer.json; `facts` tell how the fit was made and what it measured."""
        head = {"kind": "structural", "version": self.version, **facts}
        features = {"version": _READS, "names": structure.FEATURES}
        return json.dumps({**head, "features": features, "model": _plain(self.model)}) + "\n"

    def score(self, texts: pa.Array, languages: list[str | None]) -> np.ndarray:
        quality = quality_of(self.model.predict(structure.features(texts, languages)))
        return np.where(generated.is_generated(texts), 0.0, quality)


def _plain(model: Model) -> dict[str, Any]:
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(model).items()}
