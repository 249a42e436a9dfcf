"""Expected against obtained: exact for what is counted, bounds for what is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from conf.errors import SeedbedError
from seedbed.queries.funnel import funnel
from seedbed.tables.reader import DeltaReader


@dataclass(frozen=True)
class Expected:
    """`values`: name -> an exact number, or {min: x} / {max: x}; `seconds`: stage -> measured
    seconds on two cores.
    """

    values: dict[str, Any]
    seconds: dict[str, int]


@dataclass(frozen=True)
class Row:
    what: str
    expected: str
    obtained: str
    ok: bool


def read_expected(path: Path) -> Expected:
    if not path.is_file():
        raise SeedbedError(
            f"{path} does not exist", "give expected=FILE, such as conf/demo/expected_full.yaml"
        )
    tree = OmegaConf.to_container(OmegaConf.load(path))
    return Expected(values=tree["values"], seconds=tree["seconds"])  # type: ignore[index,call-overload]


def compare(output: str, expected: Expected) -> list[Row]:
    """A row for each expected value, with what this run's tables and metrics hold."""
    obtained = measure(output)
    rows = []
    for what, bound in expected.values.items():
        value = obtained.get(what)
        ok, text = _holds(value, bound)
        rows.append(Row(what, text, "missing" if value is None else _number(value), ok))
    return rows


def measure(output: str) -> dict[str, float]:
    """Every figure that an expectation can name, as far as the run has it."""
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


def table(rows: list[Row]) -> str:
    """Aligned text; a cross marks what is not as expected."""
    width = max(len(row.what) for row in rows)
    lines = [f"{'':<{width}}  {'expected':>16}  {'obtained':>12}"]
    lines += [
        f"{row.what:<{width}}  {row.expected:>16}  {row.obtained:>12}  {'ok' if row.ok else 'DIFFERS'}"
        for row in rows
    ]
    return "\n".join(lines)


def _holds(value: float | None, bound: Any) -> tuple[bool, str]:
    if isinstance(bound, dict):
        low, high = bound.get("min"), bound.get("max")
        text = f">= {_number(low)}" if high is None else f"<= {_number(high)}"
        inside = (
            value is not None and (low is None or value >= low) and (high is None or value <= high)
        )
        return inside, text
    return value == bound, _number(bound)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _tokens(path: Path) -> dict[str, float]:
    shards = json.loads(path.read_text())["shards"]
    return {
        f"tokens.{split}": sum(s["tokens"] for s in shards if s["split"] == split)
        for split in ("train", "val")
    }


def _pretrain(path: Path) -> dict[str, float]:
    rows = _lines(path)
    losses = [row["val_loss"] for row in rows if row.get("val_loss") is not None]
    return (
        {"pretrain.first_val_loss": losses[0], "pretrain.last_val_loss": losses[-1]}
        if losses
        else {}
    )


def _scorer(path: Path) -> dict[str, float]:
    return {"scorer.language_model_mae": json.loads(path.read_text())["mae"]}


def _grpo(path: Path) -> dict[str, float]:
    held = [row["heldout_reward"] for row in _lines(path) if row.get("heldout_reward") is not None]
    return (
        {
            "grpo.heldout_before": held[0],
            "grpo.heldout_after": held[-1],
            "grpo.heldout_gain": held[-1] - held[0],
        }
        if held
        else {}
    )
