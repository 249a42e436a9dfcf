"""Pretrain a Llama-style model on packed tokens with megatron-core, on any number of processes,
with or without GPUs.

    torchrun --nproc-per-node 4 -m megatron_train.pretrain --config conf/pretrain/demo.yaml output=DIR [key=value]

Reads DIR/tokens; writes DIR/pretrain (checkpoints/, metrics.jsonl, samples.json) and, at the end,
DIR/hf. Started again it goes on from the newest checkpoint with the losses an undisturbed run would
have had. SIGTERM saves and ends.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from conf.errors import SeedbedError
from conf.loader import cli_parser, config_hash, load, to_dict, to_yaml
from conf.schema.pretrain import PretrainConfig, check_world
from megatron_train.checkpoint import hf, sharded
from megatron_train.data.blend import Blend, Cursor, loss_by_source, micro_batches, open_blend
from megatron_train.data.manifest import Manifest, read_sources, verify_shards
from megatron_train.metrics import completions, metrics_file
from megatron_train.metrics.logger import RunLog
from megatron_train.parallel import processes
from megatron_train.training import fp8_guard
from megatron_train.training.loss_guard import Guard
from megatron_train.training.schedule import learning_rate
from megatron_train.training.step import (
    BadStep,
    Batch,
    TrainState,
    build,
    language_model_loss,
    train_step,
)
from seedbed.files import claim


def main(argv: list[str]) -> int:
    args = cli_parser("megatron_train.pretrain", __doc__).parse_args(argv)
    cfg = load(PretrainConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    run(cfg)
    processes.stop()
    return 0


def run(cfg: PretrainConfig) -> bool:
    """One run, from its newest checkpoint or its parent's, to the export.

    False when SIGTERM ended it before that. Collective.
    """
    dp = check_world(cfg.parallel, cfg.batch, int(os.environ.get("WORLD_SIZE", "1")))
    out = Path(cfg.output) / "pretrain"
    sources = read_sources(cfg.data, Path(cfg.output))
    # whose tokenizer is everyone's
    manifest = next(iter(sources.values()))
    stop = _StopSignal()

    processes.start(cfg.parallel, cfg.seed)
    processes.on_main(lambda: claim(out))
    for one in sources.values():
        processes.on_main(lambda one=one: verify_shards(one, cfg.verify_shards))
    train = open_blend(sources, cfg, "train", out / "index")
    validation = _validation(sources, cfg, out)
    loss_fn = loss_by_source(train.names) if len(sources) > 1 else language_model_loss

    state = build(
        cfg.model, manifest.vocab_size, cfg.parallel, cfg.optim, cfg.dtype, cfg.seed, cfg.fp8
    )
    cursor = _resume(state, cfg, train, out)
    guard = Guard(cfg.guard, _losses(cfg, state, out))
    writer = sharded.Writer(out / "checkpoints", cfg.keep, cfg.async_save, cfg.verify_checkpoints)
    log = RunLog(cfg, out, train, state, validation)
    if processes.is_main():
        print(_opening(cfg, train, state, cursor, dp), flush=True)
    if cfg.samples and state.step == 0:
        _sample(state, manifest, out, keep_export=None)

    stopped = False
    with _lost_peer_named(state, out):
        while state.step < cfg.schedule.steps and not stopped:
            lr = learning_rate(state.step, cfg.optim, cfg.schedule)
            log.begin()
            first = cursor.first_sample(state.step)
            batches = micro_batches(
                train, first, cfg.batch.total, cfg.batch, cfg.data.document_mask
            )
            log.data_is_there()
            compared = cfg.fp8.guard_every and state.step % cfg.fp8.guard_every == 0
            cosines = (
                fp8_guard.cosines(state, batches[0], language_model_loss) if compared else None
            )
            try:
                with _profiled(cfg, state.step, out):
                    result = train_step(state, batches, loss_fn, lr, limit=guard.limit())
            except BadStep as bad:
                if guard.decide(bad) == "rewind" and sharded.latest(writer.root):
                    _rewind(state, cursor, writer, bad, log)
                    guard.forget_after(_losses(cfg, state, out))
                    continue
                state.step += 1
                log.refused(bad, lr, first)
            else:
                guard.accept(result.loss)
                evaluate_now = validation and (
                    state.step % cfg.eval_every == 0 or state.step == cfg.schedule.steps
                )
                log.step(result, lr, first, cosines, bool(evaluate_now))
            stopped = processes.any_rank(stop.received)
            writer.poll()
            if stopped or state.step == cfg.schedule.steps or state.step % cfg.save_every == 0:
                writer.save(state, _extra(cfg, train, cursor))
        writer.finish()

    log.close()
    if stopped:
        if processes.is_main():
            print(
                f"stopped by SIGTERM after step {state.step}; the same command goes on from there",
                flush=True,
            )
    elif cfg.samples:
        _sample(state, manifest, out, keep_export=Path(cfg.output) / "hf")
    else:
        hf.export(state, Path(cfg.output) / "hf", manifest.tokenizer)
    return not stopped


class _StopSignal:
    """SIGTERM asks for a save at the end of the step; torchrun passes its own on to every process."""

    def __init__(self) -> None:
        self.received = False
        signal.signal(signal.SIGTERM, self._set)

    def _set(self, *_: Any) -> None:
        self.received = True


def _validation(
    sources: dict[str, Manifest], cfg: PretrainConfig, out: Path
) -> dict[str, list[Batch]]:
    """The same first samples of every source's val split at every evaluation, in every layout; {}
    when eval_every is 0.
    """
    if cfg.eval_every == 0:
        return {}
    held = {}
    for name, manifest in sources.items():
        alone = open_blend({name: manifest}, cfg, "val", out / "index")
        samples = alone.corpora[0].per_pass
        batches = min(cfg.eval_batches, samples // cfg.batch.total)
        if batches == 0:
            raise SeedbedError(
                f"the val split of {name} holds {samples} samples, fewer than one batch of batch.total = {cfg.batch.total}",
                "curate more data, lower batch.total, or set eval_every=0",
            )
        held[name] = micro_batches(
            alone, 0, batches * cfg.batch.total, cfg.batch, cfg.data.document_mask
        )
    return held


def _extra(cfg: PretrainConfig, train: Blend, cursor: Cursor) -> dict[str, Any]:
    """What a checkpoint says about its run beyond the weights.

    `order` is what the sequence of samples depends on.
    """
    return {
        "samples_before": cursor.before,
        "skipped_samples": cursor.skipped,
        "order": _order(cfg, train) | {"batch.total": cfg.batch.total},
        "config": to_dict(cfg),
        "config_hash": config_hash(cfg),
    }


def _order(cfg: PretrainConfig, train: Blend) -> dict[str, Any]:
    """What the sequence of samples is a function of."""
    return {"tokens": train.identity, "model.seq_length": cfg.model.seq_length, "seed": cfg.seed}


def _resume(state: TrainState, cfg: PretrainConfig, train: Blend, out: Path) -> Cursor:
    """Load the newest checkpoint, if any.

    Layout, schedule and learning rate may have changed; the data order may not.
    """
    cursor = Cursor(cfg.batch.total)
    newest = sharded.latest(out / "checkpoints")
    if newest is not None:
        extra = sharded.read_manifest(newest)["extra"]
        order, ours = extra["order"], _extra(cfg, train, cursor)["order"]
        changed = [
            f"{key}: {order.get(key)} then, {ours[key]} now"
            for key in ours
            if order.get(key) != ours[key]
        ]
        if changed:
            raise SeedbedError(
                f"{newest} was trained on another order of data ({'; '.join(changed)})",
                "restore these values, or use another output folder",
            )
        sharded.load(state, newest)
        cursor.before, cursor.skipped = (
            extra.get("samples_before", 0),
            extra.get("skipped_samples", 0),
        )
    elif cfg.parent:
        sharded.load(state, Path(cfg.parent), begin=True)
        cursor.before = _read_by_parent(sharded.read_manifest(Path(cfg.parent)), _order(cfg, train))
    if processes.is_main():
        out.mkdir(parents=True, exist_ok=True)
        metrics_file.keep_up_to(out / "metrics.jsonl", state.step)
        (out / "config.yaml").write_text(to_yaml(cfg))
    processes.barrier()
    return cursor


def _read_by_parent(manifest: dict[str, Any], order: dict[str, Any]) -> int:
    """How many samples of this run's order a checkpoint's run and its parents have read; 0 where it
    followed another order.
    """
    extra = manifest["extra"]
    theirs = extra.get("order", {})
    if any(theirs.get(key) != value for key, value in order.items()):
        return 0
    before, skipped = extra.get("samples_before", 0), extra.get("skipped_samples", 0)
    return Cursor(theirs["batch.total"], before, skipped).first_sample(manifest["step"])


def _losses(cfg: PretrainConfig, state: TrainState, out: Path) -> list[float]:
    """What the guard judges the next step by, after a start, a resume or a rewind alike."""
    return processes.broadcast_object(
        metrics_file.losses_before(out / "metrics.jsonl", state.step, cfg.guard.window)
    )


def _rewind(
    state: TrainState, cursor: Cursor, writer: sharded.Writer, bad: BadStep, log: RunLog
) -> None:
    """Back to the newest checkpoint, past every sample that was read since then."""
    writer.finish()
    at = state.step
    sharded.load(state, writer.root)
    cursor.skipped += (at + 1 - state.step) * cursor.batch
    log.rewound(bad, at, cursor.skipped)


@contextlib.contextmanager
def _profiled(cfg: PretrainConfig, step: int, out: Path) -> Iterator[None]:
    if cfg.profile_step != step + 1:
        yield
        return
    with torch.profiler.profile() as profile:
        yield
    profile.export_chrome_trace(str(out / f"trace-{processes.rank()}.json"))


def _opening(cfg: PretrainConfig, train: Blend, state: TrainState, cursor: Cursor, dp: int) -> str:
    m, p = cfg.model, cfg.parallel
    parameters = m.parameters(state.vocab_size)
    total = cfg.schedule.steps * cfg.batch.total
    lines = [
        f"{parameters / 1e6:.2f}M parameters, vocabulary {state.vocab_size:,}; {p.describe(dp)}, {_arithmetic(cfg)}",
        f"{train.tokens:,} training tokens, {total * m.seq_length:,} to be read ({train.passes(total)} passes); "
        f"chance loss ln({state.vocab_size}) = {math.log(state.vocab_size):.3f}",
    ]
    lines += [f"resumed at step {state.step}"] * (state.step > 0)
    if cfg.parent and not state.step:
        goes_on = f", goes on with its data at sample {cursor.before:,}" if cursor.before else ""
        lines.append(f"begins with {cfg.parent}{goes_on}")
    return "\n".join(lines)


def _arithmetic(cfg: PretrainConfig) -> str:
    if not cfg.fp8.on:
        return cfg.dtype
    return f"fp8 {cfg.fp8.format} {cfg.fp8.recipe}{' (emulated)' if cfg.fp8.emulate else ''} in {cfg.dtype}"


def _sample(state: TrainState, manifest: Manifest, out: Path, keep_export: Path | None) -> None:
    """Export the model and record its completions; without `keep_export` the export is thrown away."""
    folder = keep_export or out / "untrained"
    hf.export(state, folder, manifest.tokenizer)
    if processes.is_main():
        completions.record(out / "samples.json", state.step, completions.complete(folder))
        if keep_export is None:
            shutil.rmtree(folder)
        else:
            print(f"exported {folder}; completions in {out / 'samples.json'}", flush=True)
    processes.barrier()


@contextlib.contextmanager
def _lost_peer_named(state: TrainState, out: Path) -> Iterator[None]:
    """Another process's death reaches this one as a broken connection: say what it means and what
    to do.
    """
    try:
        yield
    except RuntimeError as error:
        if not processes.is_lost_peer(error):
            raise
        newest = sharded.latest(out / "checkpoints")
        raise SeedbedError(
            f"process {processes.rank()} lost contact with another one in step {state.step + 1}: "
            "that one died, and said why above if it could",
            f"start the same command again: it goes on from {newest.name if newest else 'the beginning'}",
        ) from error


# the guard matters: the checkpoint writer may spawn processes that import this file
if __name__ == "__main__":
    processes.run_ranks(main)
