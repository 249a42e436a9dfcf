"""Rotary positions in a config.json <-> our settings."""

from __future__ import annotations

import math
from typing import Any

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig
from conf.schema.rope import RopeConfig

# transformers' name of a scaling -> ours.
_SCALINGS = {name: name for name in ("linear", "dynamic", "llama3", "yarn")} | {"default": "none"}
# Its name of a number -> ours, for each scaling that has any.
_NUMBERS = {
    "none": {},
    "linear": {"factor": "factor"},
    "dynamic": {"factor": "factor"},
    "llama3": {
        "factor": "factor",
        "low_freq_factor": "low_freq_factor",
        "high_freq_factor": "high_freq_factor",
        "original_max_position_embeddings": "original_length",
    },
    "yarn": {
        "factor": "factor",
        "beta_fast": "beta_fast",
        "beta_slow": "beta_slow",
        "truncate": "truncate",
        "attention_factor": "attention_factor",
        "original_max_position_embeddings": "original_length",
    },
}
# DeepSeek's two numbers, which together stand for attention_factor.
_AMPLITUDES = ("mscale", "mscale_all_dim")


def read(
    config: dict[str, Any], default_base: float, by_kind: bool = False
) -> tuple[float, RopeConfig]:
    """(base, scaling) of a config. What it leaves out is as in transformers.

    by_kind: rope_parameters has entries for each kind of layer, of which those with a window are
    not scaled.

    Raises:
        SeedbedError: for a scaling or a number that is not known.
    """
    named = config.get("rope_parameters") or {}
    if by_kind:
        named = _of_full_attention(named)
    given = {**named, **(config.get("rope_scaling") or {})}
    base = given.pop("rope_theta", None) or config.get("rope_theta") or default_base
    names = [given.pop(key) for key in ("rope_type", "type") if key in given]
    scaling = _SCALINGS.get(str(names[0] if names else "default"))
    if scaling is None or len({*names}) > 1:
        raise SeedbedError(
            f"config.json scales rotary positions by {' and '.join(map(repr, names))}, which is "
            "not supported",
            f"use a model with one of: {', '.join(_SCALINGS)}",
        )
    _check_share(config, given)
    numbers = _NUMBERS[scaling]
    amplitudes = {key: given.pop(key) for key in _AMPLITUDES if scaling == "yarn" and key in given}
    unknown = sorted(key for key in given if key not in numbers and given[key] is not None)
    if scaling == "dynamic":
        # It has no effect there in transformers, which takes max_position_embeddings.
        unknown = [key for key in unknown if key != "original_max_position_embeddings"]
    if unknown:
        raise SeedbedError(
            f"config.json has {unknown[0]}={given[unknown[0]]} for rotary positions of the kind "
            f"{names[0] if names else 'default'}, which is not known there",
            "use a model without it",
        )
    fields = {numbers[key]: given[key] for key in numbers if given.get(key) is not None}
    if scaling in ("dynamic", "llama3", "yarn"):
        # Phi's place of it, and then transformers' default.
        outer = config.get("original_max_position_embeddings")
        known = config["max_position_embeddings"]
        if scaling == "dynamic":
            fields["original_length"] = known
        else:
            fields["original_length"] = outer or fields.get("original_length") or known
    if scaling == "yarn" and "factor" not in fields:
        fields["factor"] = config["max_position_embeddings"] / fields["original_length"]
    if all(amplitudes.get(key) for key in _AMPLITUDES) and "attention_factor" not in fields:
        first, second = (
            0.1 * amplitudes[key] * math.log(fields["factor"]) + 1.0 for key in _AMPLITUDES
        )
        fields["attention_factor"] = first / second
    return base, RopeConfig(scaling=scaling, **fields)


def _of_full_attention(named: dict[str, Any]) -> dict[str, Any]:
    """The entry of layers without a window; the other one must have its base and no scaling."""
    if not {"full_attention", "sliding_attention"} & {*named}:
        return named
    full, sliding = (
        dict(named.get(kind) or {}) for kind in ("full_attention", "sliding_attention")
    )
    kind = sliding.get("rope_type", "default")
    bases = [one["rope_theta"] for one in (full, sliding) if one.get("rope_theta") is not None]
    if kind != "default" or len({*bases}) > 1 or {*named} - {"full_attention", "sliding_attention"}:
        raise SeedbedError(
            f"config.json has rope_parameters={named}: layers with a window have positions that "
            "are not scaled, and the base of the others",
            "use a model with one base, and rope_type=default in sliding_attention",
        )
    return {**full, "rope_theta": bases[0]} if bases else full


def _check_share(config: dict[str, Any], given: dict[str, Any]) -> None:
    """Refuses models that rotate a part of a head alone."""
    for where in (given, config):
        share = where.get("partial_rotary_factor")
        if share not in (None, 1, 1.0):
            raise SeedbedError(
                f"config.json has partial_rotary_factor={share}: heads that turn in part are not "
                "supported",
                "use a model without it",
            )
    given.pop("partial_rotary_factor", None)


def write(model: ModelConfig) -> dict[str, Any]:
    """The keys of a config.json.

    transformers 4 and llama.cpp read rope_theta and rope_scaling; transformers 5 reads
    rope_parameters.
    """
    rope, base = model.rope, float(model.rope_base)
    kind = next(theirs for theirs, ours in _SCALINGS.items() if ours == rope.scaling)
    numbers = {theirs: getattr(rope, ours) for theirs, ours in _NUMBERS[rope.scaling].items()}
    if not rope.attention_factor:
        numbers.pop("attention_factor", None)
    scaled = {"rope_type": kind, **numbers}
    named: dict[str, Any] = {**scaled, "rope_theta": base}
    if model.form.plain_windows:
        plain = {"rope_type": "default", "rope_theta": base}
        named = {"full_attention": named, "sliding_attention": plain}
    keys: dict[str, Any] = {"rope_theta": base, "rope_parameters": named}
    if rope.scaling != "none":
        keys["rope_scaling"] = {**scaled, "type": kind}
    return keys
