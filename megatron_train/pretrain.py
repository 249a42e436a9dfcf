"""Pretrain a Llama-style model on packed tokens with megatron-core, on any number of processes, with or without GPUs.

    torchrun --nproc-per-node 4 -m megatron_train.pretrain --config conf/pretrain/demo.yaml output=DIR [key=value]

Reads DIR/tokens; writes DIR/pretrain (checkpoints/, metrics.jsonl, samples.json) and, at the end, DIR/hf. Started again it
goes on from the newest checkpoint with the losses an undisturbed run would have had. SIGTERM saves and ends.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from conf.loader import cli_parser, config_hash, load, to_dict, to_yaml
from conf.schema.pretrain import PretrainConfig, check_world
from megatron_train import checkpoint, evaluate, fp8_guard, hf, metrics, parallel
from megatron_train.data import Corpus, micro_batches
from megatron_train.schedule import learning_rate
from megatron_train.step import TrainState, build, eval_loss, language_model_loss, train_step
from megatron_train.tokens import Manifest, read_manifest, verify_shards


def main(argv: list[str]) -> int:
    args = cli_parser("megatron_train.pretrain", __doc__).parse_args(argv)
    cfg = load(PretrainConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    dp = check_world(cfg.parallel, cfg.batch, int(os.environ.get("WORLD_SIZE", "1")))
    out = Path(cfg.output) / "pretrain"
    manifest = read_manifest(Path(cfg.output) / "tokens")
    stop = _StopSignal()

    parallel.start(cfg.parallel, cfg.seed)
    main_rank = parallel.is_main()
    _on_main_first(lambda: verify_shards(manifest, cfg.verify_shards))
    train = Corpus(manifest, "train", cfg.model.seq_length, cfg.seed, out / "index")
    validation = _validation(cfg, manifest, out)

    state = build(cfg.model, manifest.vocab_size, cfg.parallel, cfg.optim, cfg.dtype, cfg.seed, cfg.fp8)
    _resume(state, cfg, manifest, out)
    if main_rank:
        print(_opening(cfg, manifest, train, state, dp), flush=True)
    if cfg.samples and state.step == 0:
        _sample(state, manifest, out, keep_export=None)

    batch_tokens = cfg.batch.total * cfg.model.seq_length
    first, began = state.step, time.perf_counter()
    stopped = False
    with _lost_peer_named(state, out):
        while state.step < cfg.schedule.steps and not stopped:
            lr = learning_rate(state.step, cfg.optim, cfg.schedule)
            started = time.perf_counter()
            batches = micro_batches(train, state.step * cfg.batch.total, cfg.batch.total, cfg.batch)
            guarded = cfg.fp8.guard_every and state.step % cfg.fp8.guard_every == 0
            cosines = fp8_guard.cosines(state, batches[0], language_model_loss) if guarded else None
            result = train_step(state, batches, language_model_loss, lr)
            seconds = time.perf_counter() - started

            done = state.step == cfg.schedule.steps
            val_loss = None
            if validation and (state.step % cfg.eval_every == 0 or done):
                val_loss = eval_loss(state, validation, language_model_loss).loss
            if main_rank:
                tokens = state.step * batch_tokens
                row = metrics.row_of(state.step, result, val_loss, cosines, lr, tokens, batch_tokens, seconds)
                metrics.append(out / "metrics.jsonl", row)
                if state.step % cfg.log_every == 0 or val_loss is not None:
                    eta = (time.perf_counter() - began) / (state.step - first) * (cfg.schedule.steps - state.step)
                    print(metrics.line_of(row, cfg.schedule.steps, eta), flush=True)
            stopped = parallel.any_rank(stop.received)
            if done or stopped or state.step % cfg.save_every == 0:
                checkpoint.save(state, out / "checkpoints", _extra(cfg, manifest), cfg.keep)

    if stopped:
        if main_rank:
            print(f"stopped by SIGTERM after step {state.step}; the same command goes on from there", flush=True)
    elif cfg.samples:
        _sample(state, manifest, out, keep_export=Path(cfg.output) / "hf")
    else:
        hf.export(state, Path(cfg.output) / "hf", manifest.tokenizer)
    parallel.stop()
    return 0


class _StopSignal:
    """SIGTERM asks for a save at the end of the step; torchrun passes its own on to every process."""

    def __init__(self) -> None:
        self.received = False
        signal.signal(signal.SIGTERM, self._set)

    def _set(self, *_: Any) -> None:
        self.received = True


def _on_main_first(check: Any) -> None:
    """Run a check on process 0 alone; where it fails, fail everywhere with its words."""
    problem = None
    if parallel.is_main():
        try:
            check()
        except SeedbedError as error:
            problem = (error.problem, error.fix)
    problem = parallel.broadcast_object(problem)
    if problem:
        raise SeedbedError(*problem)


def _validation(cfg: PretrainConfig, manifest: Manifest, out: Path) -> list[Any]:
    """The same first samples of the val split at every evaluation, in every layout; [] when eval_every is 0."""
    if cfg.eval_every == 0:
        return []
    corpus = Corpus(manifest, "val", cfg.model.seq_length, cfg.seed, out / "index")
    batches = min(cfg.eval_batches, corpus.per_pass // cfg.batch.total)
    if batches == 0:
        raise SeedbedError(
            f"the val split holds {corpus.per_pass} samples, fewer than one batch of batch.total = {cfg.batch.total}",
            "curate more data, lower batch.total, or set eval_every=0",
        )
    return micro_batches(corpus, 0, batches * cfg.batch.total, cfg.batch)


def _extra(cfg: PretrainConfig, manifest: Manifest) -> dict[str, Any]:
    """What a checkpoint says about its run beyond the weights. `order` is what the sequence of samples depends on."""
    return {
        "order": {
            "tokens": manifest.identity,
            "batch.total": cfg.batch.total,
            "model.seq_length": cfg.model.seq_length,
            "seed": cfg.seed,
        },
        "config": to_dict(cfg),
        "config_hash": config_hash(cfg),
    }


def _resume(state: TrainState, cfg: PretrainConfig, manifest: Manifest, out: Path) -> None:
    """Load the newest checkpoint, if any. Layout, schedule and learning rate may have changed; the data order may not."""
    newest = checkpoint.latest(out / "checkpoints")
    if newest is not None:
        order, ours = checkpoint.read_manifest(newest)["extra"]["order"], _extra(cfg, manifest)["order"]
        changed = [f"{key}: {order.get(key)} then, {ours[key]} now" for key in ours if order.get(key) != ours[key]]
        if changed:
            raise SeedbedError(
                f"{newest} was trained on another order of data ({'; '.join(changed)})",
                "restore these values, or use another output folder",
            )
        checkpoint.load(state, newest)
    if parallel.is_main():
        out.mkdir(parents=True, exist_ok=True)
        metrics.keep_up_to(out / "metrics.jsonl", state.step)
        (out / "config.yaml").write_text(to_yaml(cfg))


def _opening(cfg: PretrainConfig, manifest: Manifest, train: Corpus, state: TrainState, dp: int) -> str:
    m, p = cfg.model, cfg.parallel
    matrices = m.hidden * m.hidden * (2 + 2 * m.kv_heads / m.heads) + 3 * m.hidden * m.ffn
    parameters = int(
        m.layers * (matrices + 2 * m.hidden)
        + m.hidden
        + manifest.vocab_size * m.hidden * (1 if m.tie_embeddings else 2)
    )
    tokens = sum(shard.tokens for shard in manifest.of("train"))
    passes = cfg.schedule.steps * cfg.batch.total / train.per_pass
    return (
        f"{parameters / 1e6:.2f}M parameters, vocabulary {manifest.vocab_size:,}; "
        f"tp {p.tp} x pp {p.pp} x dp {dp}, {_arithmetic(cfg)}\n"
        f"{tokens:,} training tokens, {cfg.schedule.steps * cfg.batch.total * m.seq_length:,} to be read ({passes:.2f} passes); "
        f"chance loss ln({manifest.vocab_size}) = {math.log(manifest.vocab_size):.3f}"
        + (f"\nresumed at step {state.step}" if state.step else "")
    )


def _arithmetic(cfg: PretrainConfig) -> str:
    if not cfg.fp8.on:
        return cfg.dtype
    return f"fp8 {cfg.fp8.format} {cfg.fp8.recipe}{' (emulated)' if cfg.fp8.emulate else ''} in {cfg.dtype}"


def _sample(state: TrainState, manifest: Manifest, out: Path, keep_export: Path | None) -> None:
    """Export the model and record its completions; without `keep_export` the export is thrown away."""
    folder = keep_export or out / "untrained"
    hf.export(state, folder, manifest.tokenizer)
    if parallel.is_main():
        evaluate.record(out / "samples.json", state.step, evaluate.complete(folder))
        if keep_export is None:
            shutil.rmtree(folder)
        else:
            print(f"exported {folder}; completions in {out / 'samples.json'}", flush=True)
    parallel.barrier()


@contextlib.contextmanager
def _lost_peer_named(state: TrainState, out: Path) -> Iterator[None]:
    """Another process's death reaches this one as a broken connection: say what it means and what to do."""
    try:
        yield
    except RuntimeError as error:
        if not parallel.is_lost_peer(error):
            raise
        newest = checkpoint.latest(out / "checkpoints")
        raise SeedbedError(
            f"process {parallel.rank()} lost contact with another one in step {state.step + 1}: "
            "that one died, and said why above if it could",
            f"start the same command again: it goes on from {newest.name if newest else 'the beginning'}",
        ) from error


if __name__ == "__main__":  # the guard matters: the checkpoint writer may spawn processes that import this file
    parallel.run_ranks(main)
