"""Where a run goes on: its newest checkpoint, or the parent's, and its place in the data.

Layout, schedule and learning rate may change on resuming. The blend and the batch may change where
`accept_change` says so, and then begin a new segment (data/segments.py).
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from conf.loader import config_hash, to_dict, to_yaml
from conf.schema.batch import RampConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train.checkpoint import hf_parent, hf_parity, sharded
from megatron_train.checkpoint.step_folders import latest, read_manifest
from megatron_train.data import segments
from megatron_train.data.blend import Blend
from megatron_train.data.segments import Cursor
from megatron_train.metrics import metrics_file
from megatron_train.parallel import processes
from megatron_train.training.state import TrainState


def checkpoint_facts(cfg: PretrainConfig, train: Blend, cursor: Cursor) -> dict[str, Any]:
    """What a checkpoint says of its run beyond the weights.

    `order` is what the sequence of samples depends on.
    """
    return {
        "segments": [asdict(segment) for segment in cursor.segments],
        # Since the last segment began.
        "skipped_samples": cursor.skipped,
        # The model may have more rows, where it began as someone else's.
        "tokenizer_size": train.corpora[0].manifest.vocab_size,
        "order": _order(cfg, train) | _batch(cfg),
        "config": to_dict(cfg),
        "config_hash": config_hash(cfg),
    }


def start_or_resume(state: TrainState, cfg: PretrainConfig, train: Blend, out: Path) -> Cursor:
    """Load the newest checkpoint under `out`, or that of the parent, if any; collective.

    Rows of metrics.jsonl after the loaded step are dropped, because the run writes them again.

    Raises:
        SeedbedError: where the checkpoint was trained on another order of data, and the config does
            not accept that.
    """
    cursor = Cursor([segments.first_segment(cfg, train)])
    newest = latest(out / "checkpoints")
    if newest is not None:
        extra = read_manifest(newest)["extra"]
        now = checkpoint_facts(cfg, train, cursor)["order"]
        changed = _changes(newest, extra["order"], now, cfg.accept_change)
        sharded.load(state, newest)
        cursor = segments.of_checkpoint(extra, cfg, train)
        if changed:
            segments.change(cursor, state.step, cfg, train)
            if processes.is_main():
                print(_said(changed, state.step, cursor), flush=True)
    elif hf_parent.is_folder_of_model(cfg.parent):
        hf_parity.begin_from(state, Path(cfg.parent))
    elif cfg.parent:
        sharded.load(state, Path(cfg.parent), begin=True)
        _go_on_behind(cursor, read_manifest(Path(cfg.parent)), cfg, train)
    current = cursor.segments[-1]
    train.begin_at(current.since, current.read)
    if processes.is_main():
        out.mkdir(parents=True, exist_ok=True)
        metrics_file.keep_up_to(out / "metrics.jsonl", state.step)
        (out / "config.yaml").write_text(to_yaml(cfg))
        segments.write(out, cursor.segments)
    processes.barrier()
    return cursor


def last_losses(cfg: PretrainConfig, state: TrainState, out: Path) -> list[float]:
    """The losses that the loss guard judges the next step by; collective.

    They are the same after a start, a resume and a rewind.
    """
    return processes.broadcast_object(
        metrics_file.losses_before(out / "metrics.jsonl", state.step, cfg.guard.window)
    )


def _order(cfg: PretrainConfig, train: Blend) -> dict[str, Any]:
    """What the sequence of samples is a function of."""
    return {"tokens": train.identity, "model.seq_length": cfg.model.seq_length, "seed": cfg.seed}


def _batch(cfg: PretrainConfig) -> dict[str, Any]:
    found: dict[str, Any] = {"batch.total": cfg.batch.total}
    # Checkpoints from before there were ramps do not name it.
    if cfg.batch.ramp != RampConfig():
        found["batch.ramp"] = asdict(cfg.batch.ramp)
    return found


# What a part of the order belongs to, where it may change.
_MAY_CHANGE = {"tokens": "data.blend", "batch.total": "batch", "batch.ramp": "batch"}


def _changes(
    newest: Path, then: dict[str, Any], now: dict[str, Any], accepted: list[str]
) -> list[str]:
    """What changed since the checkpoint, in words; all of it is accepted.

    Raises:
        SeedbedError: for a change that is not accepted.
    """
    keys = [key for key in {**now, **then} if then.get(key) != now.get(key)]
    said = [f"{key}: {then.get(key)} then, {now.get(key)} now" for key in keys]
    refused = [key for key in keys if _MAY_CHANGE.get(key) not in accepted]
    if refused:
        may = sorted({_MAY_CHANGE[key] for key in keys if key in _MAY_CHANGE})
        raise SeedbedError(
            f"{newest} was trained on another order of data ({'; '.join(said)})",
            "restore these values, or use another output folder"
            + (
                f"; or let the run change here by accept_change=[{','.join(may)}]"
                if all(key in _MAY_CHANGE for key in keys)
                else ""
            ),
        )
    return said


def _said(changed: list[str], step: int, cursor: Cursor) -> str:
    segment = cursor.segments[-1]
    behind = [
        f"{source['name']} goes on behind {segment.read.get(source['identity'], 0):,} samples"
        for source in segment.sources
        if segment.since == segment.sample
    ]
    return (
        f"segment {len(cursor.segments)} begins after step {step} at sample {segment.sample:,} "
        f"({'; '.join([*changed, *behind])})"
    )


def _go_on_behind(
    cursor: Cursor, manifest: dict[str, Any], cfg: PretrainConfig, train: Blend
) -> None:
    """Begin behind what a checkpoint's run and its parents have read of this run's order.

    Where that run followed another order, this one begins at its first sample.
    """
    extra = manifest["extra"]
    theirs = extra.get("order", {})
    if any(theirs.get(key) != value for key, value in _order(cfg, train).items()):
        return
    parent = segments.of_checkpoint(extra, cfg, train)
    last = parent.segments[-1]
    first = segments.first_segment(cfg, train, parent.first_sample(manifest["step"]))
    cursor.segments = [replace(first, since=last.since, read=last.read)]
