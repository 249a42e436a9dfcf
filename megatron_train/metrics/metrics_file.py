"""DIR/pretrain/metrics.jsonl, one row a step, and the line on the screen."""

from __future__ import annotations

import json
import os
import resource
import statistics
from pathlib import Path
from typing import Any

import torch

from megatron_train.training.step import StepResult

# times the median
SLOW = 1.15


def keep_up_to(path: Path, step: int) -> None:
    """Drop the rows after `step`, which a resumed run writes again, and a last row that a kill cut
    short.
    """
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


def rows(path: Path) -> list[dict[str, Any]]:
    """[] where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def append(path: Path, row: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def losses_before(path: Path, step: int, count: int) -> list[float]:
    """The losses of the last `count` accepted steps up to `step`."""
    return [row["loss"] for row in rows(path) if row["step"] <= step and not row.get("refused")][
        -count:
    ]


def row_of(
    step: int,
    result: StepResult,
    val_loss: float | None,
    cosines: dict[str, float] | None,
    lr: float,
    tokens: int,
    batch_tokens: int,
    seconds: float,
    wait: float,
    flops_per_token: float,
    world: int,
) -> dict[str, Any]:
    """step counts from 1; tokens are those of all steps so far; seconds are this step's, validation
    and saving apart, and wait those of them that went by until its data was there. model_tflops is
    of one process, without recomputation; cosines are the FP8 guard's, where it looked at this
    step.
    """
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
        "model_tflops": float(f"{batch_tokens / seconds * flops_per_token / world / 1e12:.4g}"),
        "wait_share": round(wait / seconds, 4),
        "memory_gb": round(peak_memory() / 1e9, 3),
    }


def peak_memory() -> int:
    """Bytes this process has held at most: of the GPU where there is one, else of main memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def line_of(row: dict[str, Any], steps: int, eta: float) -> str:
    val = "" if row["val_loss"] is None else f"  val {row['val_loss']:.4f}"
    val += f" ({row['val_bits_per_byte']:.3f} bits/byte)" if row.get("val_bits_per_byte") else ""
    fp8 = ""
    if row["fp8_cosines"]:
        layer, cosine = min(row["fp8_cosines"].items(), key=lambda item: item[1])
        fp8 = f"  fp8 gradient cosine >= {cosine:.4f} ({layer})"
    return (
        f"step {row['step']:>{len(str(steps))}}/{steps}  loss {row['loss']:.4f}  grad {row['grad_norm']:.3f}  "
        f"lr {row['lr']:.2e}  {row['tokens_per_s']:,.0f} tok/s  {row['model_tflops']:.3g} TFLOP/s  "
        f"wait {row['wait_share']:.0%}  {row['memory_gb']:.2f} GB  ETA {int(eta) // 60}:{int(eta) % 60:02d}{val}{fp8}"
    )


def straggler_report(seconds: list[float], hosts: list[str]) -> str | None:
    """seconds each process took until its gradients were ready: who is slow, or None when none is.

    Slow is more than SLOW times the median. Processes of one tensor- or pipeline-parallel group
    wait for each other, so a slow one shows with its group.
    """
    middle = statistics.median(seconds)
    slow = [
        (took / middle, rank)
        for rank, took in enumerate(seconds)
        if middle > 0 and took > SLOW * middle
    ]
    if not slow:
        return None
    worst = ", ".join(
        f"process {rank} on {hosts[rank]} {ratio:.2f}x"
        for ratio, rank in sorted(slow, reverse=True)[:4]
    )
    return f"slow: {worst} the median of {middle:.3f} s until gradients are ready ({len(slow)} of {len(seconds)} processes)"
