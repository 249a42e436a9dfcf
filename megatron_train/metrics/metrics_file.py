"""DIR/pretrain/metrics.jsonl, with one row for each step, and the line on the screen."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from megatron_train.data.segments import Draw
from megatron_train.training.evaluation import Evaluation
from megatron_train.training.losses import means_by_source
from megatron_train.training.state import StepResult
from seedbed import jsonl


@dataclass(frozen=True)
class StepRecord:
    """One step that was taken.

    step counts from 1. draw is what it read of the order of the run. cosines are the FP8 guard's,
    None where it did not look at this step. seconds are the step's own, without
    evaluation and saving; wait are those of them that went by until its data was there.
    """

    step: int
    result: StepResult
    lr: float
    draw: Draw
    cosines: dict[str, float] | None
    seconds: float
    wait: float


@dataclass(frozen=True)
class RunFacts:
    """What is the same for all steps of a run.

    sources: names of the blend. flops_per_token: those of forward and backward pass. world: the
    number of processes.
    """

    sources: list[str]
    seq_length: int
    flops_per_token: float
    world: int


def keep_up_to(path: Path, step: int) -> None:
    """Drop the rows after `step`, which a resumed run writes again, and a row that a kill cut."""
    jsonl.keep(path, lambda row: row["step"] <= step)


def losses_before(path: Path, step: int, count: int) -> list[float]:
    """The losses of the last `count` accepted steps up to `step`."""
    accepted = [
        row["loss"]
        for row in jsonl.whole_rows(path)
        if row["step"] <= step and not row.get("refused")
    ]
    return accepted[-count:]


def row_of(path: Path, step: int) -> dict[str, Any]:
    """The row of one step; {} where there is none. Its val_loss is that of the last evaluation."""
    found: dict[str, Any] = {}
    for one in jsonl.whole_rows(path):
        if one["step"] > step:
            break
        evaluated = {k: v for k, v in found.items() if k.startswith("val_") and one.get(k) is None}
        found = {**one, **evaluated}
    return found if found.get("step") == step else {}


def row(record: StepRecord, run: RunFacts, evaluation: Evaluation | None) -> dict[str, Any]:
    """The row of one step.

    tokens are those of all steps so far. model_tflops are of one process, without recomputation.
    """
    result, seconds = record.result, record.seconds
    tokens = record.draw.count * run.seq_length
    flops = tokens / seconds * run.flops_per_token / run.world
    found: dict[str, Any] = {
        "step": record.step,
        "loss": result.loss,
        "val_loss": evaluation.loss if evaluation else None,
        "fp8_cosines": record.cosines,
        "lr": record.lr,
        "grad_norm": result.grad_norm,
        "tokens": record.draw.read * run.seq_length,
        "tokens_per_s": round(tokens / seconds, 1),
        "seconds": round(seconds, 4),
        "model_tflops": float(f"{flops / 1e12:.4g}"),
        "wait_share": round(record.wait / seconds, 4),
        "memory_gb": round(peak_memory() / 1e9, 3),
        "first_sample": record.draw.first,
        "batch": record.draw.count,
        "segment": record.draw.segment,
    }
    if evaluation:
        found["val_bits_per_byte"] = evaluation.bits_per_byte
    if len(run.sources) > 1:
        found["sources"] = means_by_source(result.metrics)
        found["val_losses"] = evaluation.by_source if evaluation else {}
    return found


def peak_memory() -> int:
    """The most bytes that this process has held, of the GPU or else of main memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def line(row: dict[str, Any], steps: int, eta: float) -> str:
    """The line on the screen for a row of a run of `steps` steps; eta in seconds."""
    val = "" if row["val_loss"] is None else f"  val {row['val_loss']:.4f}"
    if row.get("val_bits_per_byte"):
        val += f" ({row['val_bits_per_byte']:.3f} bits/byte)"
    fp8 = ""
    if row["fp8_cosines"]:
        layer, cosine = min(row["fp8_cosines"].items(), key=lambda item: item[1])
        fp8 = f"  fp8 gradient cosine >= {cosine:.4f} ({layer})"
    return (
        f"step {row['step']:>{len(str(steps))}}/{steps}  loss {row['loss']:.4f}  "
        f"grad {row['grad_norm']:.3f}  lr {row['lr']:.2e}  {row['tokens_per_s']:,.0f} tok/s  "
        f"{row['model_tflops']:.3g} TFLOP/s  wait {row['wait_share']:.0%}  "
        f"{row['memory_gb']:.2f} GB  ETA {int(eta) // 60}:{int(eta) % 60:02d}{val}{fp8}"
    )
