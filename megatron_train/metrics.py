"""DIR/pretrain/metrics.jsonl, one row a step, and the line on the screen."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from megatron_train.step import StepResult


def keep_up_to(path: Path, step: int) -> None:
    """Drop the rows after `step`, which a resumed run writes again, and a last row that a kill cut short."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if row["step"] <= step:
            kept.append(line)
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(line + "\n" for line in kept))
    os.replace(partial, path)


def append(path: Path, row: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def row_of(
    step: int,
    result: StepResult,
    val_loss: float | None,
    cosines: dict[str, float] | None,
    lr: float,
    tokens: int,
    batch_tokens: int,
    seconds: float,
) -> dict[str, Any]:
    """step counts from 1; tokens are those of all steps so far; seconds are this step's, validation and saving apart;
    cosines are the FP8 guard's, where it looked at this step."""
    return {
        "step": step,
        "loss": result.loss,
        "val_loss": val_loss,
        "fp8_cosines": cosines,
        "lr": lr,
        "grad_norm": result.grad_norm,
        "tokens": tokens,
        "tokens_per_s": round(batch_tokens / seconds, 1),
        "seconds": round(seconds, 4),
    }


def line_of(row: dict[str, Any], steps: int, eta: float) -> str:
    val = "" if row["val_loss"] is None else f"  val {row['val_loss']:.4f}"
    fp8 = ""
    if row["fp8_cosines"]:
        layer, cosine = min(row["fp8_cosines"].items(), key=lambda item: item[1])
        fp8 = f"  fp8 gradient cosine >= {cosine:.4f} ({layer})"
    return (
        f"step {row['step']:>{len(str(steps))}}/{steps}  loss {row['loss']:.4f}  grad {row['grad_norm']:.3f}  "
        f"lr {row['lr']:.2e}  {row['tokens_per_s']:,.0f} tok/s  ETA {int(eta) // 60}:{int(eta) % 60:02d}{val}{fp8}"
    )
