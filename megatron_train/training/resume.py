"""Where a run goes on: its newest checkpoint, or the parent's, and its place in the data.

Layout, schedule and learning rate may change on resuming. The order of the data may not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from conf.loader import config_hash, to_dict, to_yaml
from conf.schema.pretrain import PretrainConfig
from megatron_train.checkpoint import hf_parent, hf_parity, sharded
from megatron_train.checkpoint.step_folders import latest, read_manifest
from megatron_train.data.blend import Blend, Cursor
from megatron_train.metrics import metrics_file
from megatron_train.parallel import processes
from megatron_train.training.state import TrainState


def checkpoint_facts(cfg: PretrainConfig, train: Blend, cursor: Cursor) -> dict[str, Any]:
    """What a checkpoint says of its run beyond the weights.

    `order` is what the sequence of samples depends on.
    """
    return {
        "samples_before": cursor.before,
        "skipped_samples": cursor.skipped,
        # The model may have more rows, where it began as someone else's.
        "tokenizer_size": train.corpora[0].manifest.vocab_size,
        "order": _order(cfg, train) | {"batch.total": cfg.batch.total},
        "config": to_dict(cfg),
        "config_hash": config_hash(cfg),
    }


def start_or_resume(state: TrainState, cfg: PretrainConfig, train: Blend, out: Path) -> Cursor:
    """Load the newest checkpoint under `out`, or that of the parent, if any; collective.

    Rows of metrics.jsonl after the loaded step are dropped, because the run writes them again.

    Raises:
        SeedbedError: where the checkpoint was trained on another order of data.
    """
    cursor = Cursor(cfg.batch.total)
    newest = latest(out / "checkpoints")
    if newest is not None:
        extra = read_manifest(newest)["extra"]
        _refuse_other_order(newest, extra["order"], checkpoint_facts(cfg, train, cursor)["order"])
        sharded.load(state, newest)
        cursor.before = extra.get("samples_before", 0)
        cursor.skipped = extra.get("skipped_samples", 0)
    elif hf_parent.is_folder_of_model(cfg.parent):
        hf_parity.begin_from(state, Path(cfg.parent))
    elif cfg.parent:
        sharded.load(state, Path(cfg.parent), begin=True)
        cursor.before = _read_by_parent(read_manifest(Path(cfg.parent)), _order(cfg, train))
    if processes.is_main():
        out.mkdir(parents=True, exist_ok=True)
        metrics_file.keep_up_to(out / "metrics.jsonl", state.step)
        (out / "config.yaml").write_text(to_yaml(cfg))
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


def _refuse_other_order(newest: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    changed = [
        f"{key}: {then.get(key)} then, {now[key]} now" for key in now if then.get(key) != now[key]
    ]
    if changed:
        raise SeedbedError(
            f"{newest} was trained on another order of data ({'; '.join(changed)})",
            "restore these values, or use another output folder",
        )


def _read_by_parent(manifest: dict[str, Any], order: dict[str, Any]) -> int:
    """How many samples of this run's order a checkpoint's run and its parents have read.

    It is 0 where that run followed another order.
    """
    extra = manifest["extra"]
    theirs = extra.get("order", {})
    if any(theirs.get(key) != value for key, value in order.items()):
        return 0
    before, skipped = extra.get("samples_before", 0), extra.get("skipped_samples", 0)
    return Cursor(theirs["batch.total"], before, skipped).first_sample(manifest["step"])
