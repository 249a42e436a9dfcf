"""DIR/tokens -> DIR/pretrain, DIR/hf: pretrain a Llama-style model with megatron-core.

    torchrun --nproc-per-node 4 -m megatron_train.pretrain --config conf/pretrain/demo.yaml \\
        output=DIR [key=value]

It runs on any number of processes, with or without GPUs. It writes DIR/pretrain (checkpoints/,
metrics.jsonl, samples.json) and, at the end, DIR/hf. Started again it goes on from the newest
checkpoint, with the losses that an undisturbed run would have had. SIGTERM and SIGUSR1 save and
end.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from conf.errors import SeedbedError
from conf.loader import cli_parser, load, to_yaml
from conf.schema.pretrain import PretrainConfig, check_world
from megatron_train.checkpoint import hf_export, hf_parent, sharded
from megatron_train.checkpoint.sharded import CheckpointWriter
from megatron_train.checkpoint.step_folders import chosen, latest
from megatron_train.data.blend import Blend, micro_batches, open_blend
from megatron_train.data.epochs import check_caps
from megatron_train.data.manifest import Manifest, read_sources, verify_shards
from megatron_train.data.segments import Cursor
from megatron_train.export import from_checkpoint
from megatron_train.fp8 import guard as fp8_guard
from megatron_train.metrics import completions
from megatron_train.metrics.logger import TrainLogger
from megatron_train.parallel import processes
from megatron_train.training.evaluation import evaluate, is_due, open_held_out
from megatron_train.training.loss_guard import LossGuard
from megatron_train.training.losses import language_model_loss, loss_by_source
from megatron_train.training.resume import checkpoint_facts, last_losses, start_or_resume
from megatron_train.training.schedule import learning_rate
from megatron_train.training.state import BadStep, TrainState
from megatron_train.training.step import build_from, train_step
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
    """One run, from its newest checkpoint or its parent's, to the export; collective.

    Returns False when a signal ended it before that.
    """
    dp = check_world(cfg.parallel, cfg.batch, processes.started_world())
    out = Path(cfg.output) / "pretrain"
    sources = read_sources(cfg.data, Path(cfg.output))
    # All sources have the tokenizer of the first.
    manifest = next(iter(sources.values()))
    vocab_size = hf_parent.vocabulary(cfg, manifest)
    stop = _StopSignal()

    processes.start(cfg.parallel, cfg.seed)
    processes.on_main(lambda: claim(out))
    for one in sources.values():
        processes.on_main(lambda one=one: verify_shards(one, cfg.verify_shards))
    train = open_blend(sources, cfg, "train", out / "index")
    held_out = open_held_out(sources, cfg, out / "index")
    loss_fn = loss_by_source(train.names) if len(sources) > 1 else language_model_loss

    state = build_from(cfg, vocab_size)
    cursor = start_or_resume(state, cfg, train, out)
    caps = {source.name: source.max_epochs for source in cfg.data.blend}
    repeats = check_caps(
        train.epochs(cursor.first_sample(cfg.schedule.steps)), caps, cfg.schedule.steps
    )
    loss_guard = LossGuard(cfg.guard, last_losses(cfg, state, out))
    writer = CheckpointWriter(out / "checkpoints", cfg.keep, cfg.async_save, cfg.verify_checkpoints)
    log = TrainLogger(cfg, out, train, state)
    if processes.is_main():
        print("\n".join([_opening(cfg, train, state, cursor, dp), *repeats]), flush=True)
    if cfg.samples and state.step == 0:
        _sample_untrained(state, manifest, out)

    stopped = False
    with _lost_peer_named(state, out):
        while state.step < cfg.schedule.steps and not stopped:
            # Draw: the micro-batches of this process are its share of the step's samples.
            log.begins()
            draw = cursor.draw(state.step)
            batches = micro_batches(
                train, draw.first, draw.count, cfg.batch, cfg.data.document_mask
            )
            log.data_is_read()

            # Step: forward, backward and Adam, or a refusal before Adam has changed a weight.
            lr = learning_rate(state.step, cfg.optim, cfg.schedule, cfg.batch)
            cosines = None
            if cfg.fp8.guard_every and state.step % cfg.fp8.guard_every == 0:
                cosines = fp8_guard.cosines(state, batches[0], language_model_loss)
            try:
                with _profiled(cfg, state.step, out):
                    result = train_step(state, batches, loss_fn, lr, limit=loss_guard.limit())
            except BadStep as bad:
                # Guard: stop, skip this batch, or rewind and skip all batches since then.
                if loss_guard.decide(bad) == "rewind" and latest(writer.root):
                    _rewind(state, cursor, writer, bad, log)
                    loss_guard.forget_after(last_losses(cfg, state, out))
                    continue
                state.step += 1
                log.refused(bad, lr, draw)
            else:
                loss_guard.accept(result.loss)
                log.ends()
                # Evaluate on the held-out samples, and log.
                due = is_due(cfg, state.step)
                evaluation = evaluate(state, held_out, train) if due else None
                log.accepted(result, lr, draw, cosines, evaluation)

            # Save, at the latest when a signal asks the run to stop.
            stopped = processes.any_rank(bool(stop.received))
            writer.poll()
            if stopped or state.step == cfg.schedule.steps or state.step % cfg.save_every == 0:
                writer.save(state, checkpoint_facts(cfg, train, cursor))
        writer.finish()

    log.close()
    if stopped:
        if processes.is_main():
            print(
                f"stopped by {stop.received or 'a signal to another process'} after step "
                f"{state.step}; the same command goes on from there",
                flush=True,
            )
    else:
        _export(cfg, state, out)
    return not stopped


class _StopSignal:
    """SIGTERM or SIGUSR1 asks for a save at the end of the step.

    torchrun hands on what it gets to every process. Schedulers send USR1 before a time limit.
    """

    def __init__(self) -> None:
        # The name of the signal that came, "" before.
        self.received = ""
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._set)

    def _set(self, number: int, _: Any) -> None:
        self.received = signal.Signals(number).name


def _rewind(
    state: TrainState, cursor: Cursor, writer: CheckpointWriter, bad: BadStep, log: TrainLogger
) -> None:
    """Go back to the newest checkpoint, and leave out every sample that was read since then."""
    writer.finish()
    at = state.step
    sharded.load(state, writer.root)
    cursor.skipped += cursor.read(at + 1) - cursor.read(state.step)
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
    total = cursor.read(cfg.schedule.steps)
    lines = [
        f"{parameters / 1e6:.2f}M parameters, vocabulary {state.vocab_size:,}; {p.describe(dp)}, "
        f"{_arithmetic(cfg)}",
        f"{train.tokens:,} training tokens, {total * m.seq_length:,} to be read "
        f"({train.passes(cursor.first_sample(cfg.schedule.steps))} passes); "
        f"chance loss ln({state.vocab_size}) = {math.log(state.vocab_size):.3f}",
    ]
    if state.step:
        lines.append(f"resumed at step {state.step}")
    elif cfg.parent:
        goes_on = f", goes on with its data at sample {cursor.before:,}" if cursor.before else ""
        lines.append(f"begins with {cfg.parent}{goes_on}")
    return "\n".join(lines)


def _arithmetic(cfg: PretrainConfig) -> str:
    if not cfg.fp8.on:
        return cfg.dtype
    emulated = " (emulated)" if cfg.fp8.emulate else ""
    return f"fp8 {cfg.fp8.format} {cfg.fp8.recipe}{emulated} in {cfg.dtype}"


def _sample_untrained(state: TrainState, manifest: Manifest, out: Path) -> None:
    """Record the completions of the first weights; their export is deleted."""
    folder = out / "untrained"
    hf_export.export(state, folder, manifest.tokenizer)
    if processes.is_main():
        completions.record(out / "samples.json", state.step, completions.complete(folder))
        shutil.rmtree(folder)
    processes.barrier()


def _export(cfg: PretrainConfig, state: TrainState, out: Path) -> None:
    """Export the model to output/hf, and record its completions."""
    folder = Path(cfg.output) / "hf"
    newest = processes.on_main(lambda: chosen(out / "checkpoints", state.step))
    _, side, _ = from_checkpoint.described(newest, Path(cfg.output), None)
    hf_export.export(state, folder, side.tokenizer, card=side.card)
    if cfg.samples and processes.is_main():
        completions.record(out / "samples.json", state.step, completions.complete(folder))
        print(f"exported {folder}; completions in {out / 'samples.json'}", flush=True)
    processes.barrier()


@contextlib.contextmanager
def _lost_peer_named(state: TrainState, out: Path) -> Iterator[None]:
    """Turn a broken connection into an error that says what it means and what to do.

    The death of another process reaches this one as a broken connection.
    """
    try:
        yield
    except RuntimeError as error:
        if not processes.is_lost_peer(error):
            raise
        newest = latest(out / "checkpoints")
        raise SeedbedError(
            f"process {processes.rank()} lost contact with another one in step {state.step + 1}: "
            "that one died, and said why above if it could",
            "start the same command again: it goes on from "
            + (newest.name if newest else "the beginning"),
        ) from error


# The condition matters: the checkpoint writer may spawn processes that import this file.
if __name__ == "__main__":
    processes.run_ranks(main)
