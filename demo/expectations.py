"""Compares a run with what it should give: counts exactly, trained figures by bounds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from conf.errors import SeedbedError
from seedbed import jsonl
from seedbed.queries.funnel import funnel
from seedbed.tables.reader import DeltaReader


@dataclass(frozen=True)
class Expected:
    """What a run should give, and how long it takes.

    values: name of a figure -> an exact number, or bounds {min: x, max: y} of which one may lack.
    seconds: stage -> seconds on two quiet cores.
    """

    values: dict[str, Any]
    seconds: dict[str, int]


@dataclass(frozen=True)
class Comparison:
    """One figure of a run beside what was expected of it, as texts for a table."""

    what: str
    expected: str
    obtained: str
    ok: bool


def read_expected(path: Path) -> Expected:
    """Reads a file such as conf/demo/expected_full.yaml.

    Raises SeedbedError for a missing file, and for a value that is neither a number nor bounds.
    """
    if not path.is_file():
        raise SeedbedError(
            f"{path} does not exist", "give expected=FILE, such as conf/demo/expected_full.yaml"
        )
    tree: Any = OmegaConf.to_container(OmegaConf.load(path))
    for name, bound in tree["values"].items():
        numbers = list(bound.values()) if isinstance(bound, dict) else [bound]
        known = not isinstance(bound, dict) or (bound and set(bound) <= {"min", "max"})
        if not known or not all(isinstance(n, int | float) for n in numbers):
            raise SeedbedError(
                f"{path}: values.{name} is {bound}, neither a number nor bounds",
                "write a number, {min: X}, {max: Y} or {min: X, max: Y}",
            )
    return Expected(values=tree["values"], seconds=tree["seconds"])


def compare(output: str, expected: Expected) -> list[Comparison]:
    """One comparison per expected value. A figure that the run does not have is not ok."""
    obtained = measure(output)
    rows = []
    for what, bound in expected.values.items():
        value = obtained.get(what)
        text = "missing" if value is None else _number(value)
        rows.append(Comparison(what, _text(bound), text, _holds(value, bound)))
    return rows


def measure(output: str) -> dict[str, float]:
    """The figures of a run by the names that expectations use, as far as the run has them."""
    figures: dict[str, float] = {}
    steps = funnel(DeltaReader(output))
    for step in steps:
        figures[f"funnel.{step.reason}"] = (
            step.kept if step.reason in ("seen", "duplicate_exact") else step.dropped
        )
    figures["funnel.documents"] = steps[-1].kept
    root = Path(output)
    readers: dict[str, Callable[[Path], dict[str, float]]] = {
        "tokens/manifest.json": _tokens,
        "pretrain/metrics.jsonl": _pretrain,
        "scorers/language_model/scorer.json": _scorer,
        "rl/grpo/metrics.jsonl": _grpo,
    }
    for name, read in readers.items():
        if (root / name).is_file():
            figures |= read(root / name)
    return figures


def table(rows: list[Comparison]) -> str:
    """The comparisons as an aligned table, where DIFFERS marks what is not as expected."""
    width = max(len(row.what) for row in rows)
    lines = [f"{'':<{width}}  {'expected':>16}  {'obtained':>12}"]
    for row in rows:
        verdict = "ok" if row.ok else "DIFFERS"
        lines.append(f"{row.what:<{width}}  {row.expected:>16}  {row.obtained:>12}  {verdict}")
    return "\n".join(lines)


def _holds(value: float | None, bound: Any) -> bool:
    if value is None:
        return False
    if not isinstance(bound, dict):
        return value == bound
    # A NaN is below no maximum and above no minimum, so it fails.
    return all(value >= limit if name == "min" else value <= limit for name, limit in bound.items())


def _text(bound: Any) -> str:
    if not isinstance(bound, dict):
        return _number(bound)
    if "min" not in bound:
        return f"<= {_number(bound['max'])}"
    if "max" not in bound:
        return f">= {_number(bound['min'])}"
    return f"{_number(bound['min'])} to {_number(bound['max'])}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _tokens(path: Path) -> dict[str, float]:
    shards = json.loads(path.read_text())["shards"]
    return {
        f"tokens.{split}": sum(s["tokens"] for s in shards if s["split"] == split)
        for split in ("train", "val")
    }


def _pretrain(path: Path) -> dict[str, float]:
    losses = _series(path, "val_loss")
    if not losses:
        return {}
    return {"pretrain.first_val_loss": losses[0], "pretrain.last_val_loss": losses[-1]}


def _scorer(path: Path) -> dict[str, float]:
    return {"scorer.language_model_mae": json.loads(path.read_text())["mae"]}


def _grpo(path: Path) -> dict[str, float]:
    rewards = _series(path, "heldout_reward")
    if not rewards:
        return {}
    return {
        "grpo.heldout_before": rewards[0],
        "grpo.heldout_after": rewards[-1],
        "grpo.heldout_gain": rewards[-1] - rewards[0],
    }


def _series(path: Path, name: str) -> list[float]:
    """The values of one metric, in the order of the steps that have it."""
    return [row[name] for row in jsonl.rows(path) if row.get(name) is not None]
