"""Checkpoints that a kill cannot lose and any layout can load.

root/step_00000100/        megatron-core's torch_dist shards and manifest.json (step, seed, architecture, caller's extra)
root/latest                the name of the newest complete one, replaced atomically

A save writes into step_N.partial and renames it when every process is done; only then does `latest`
move, and only then are old ones deleted. Generators are seeded from (seed, step), so no generator
state is stored: parallel.seed_step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import multiprocessing
import os
import queue
import shutil
import signal
from collections.abc import Callable, Iterator
from multiprocessing.managers import SyncManager
from pathlib import Path
from typing import Any

import megatron.core
import torch
from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.strategies import filesystem_async
from megatron.core.dist_checkpointing.strategies.async_utils import AsyncCallsQueue
from torch.distributed.checkpoint.api import CheckpointException

from conf.errors import SeedbedError
from megatron_train.checkpoint import fp8_scales
from megatron_train.model import weights
from megatron_train.model.gpt import padded_vocab, unwrap
from megatron_train.parallel import processes
from megatron_train.training.step import TrainState
from seedbed.processes import die_with_parent

# It announces at every synchronous save that its asynchronous one is deprecated.
logging.getLogger("megatron.core.dist_checkpointing.strategies.torch").setLevel(logging.ERROR)

# torch, megatron-core and the file system each have their own family of errors, and torch's is not
# even an Exception.
_FAULTS = (Exception, CheckpointException)

# Optimizer state that loads in every layout, and unprefixed keys (megatron-core
# distrib_optimizer.py).
_METADATA = {"distrib_optim_sharding_type": "fully_reshardable", "chained_optim_avoid_prefix": True}


class Writer:
    """Saves under one root, and keeps the newest `keep`; `background` leaves the writing to a
    forked process, and `hashes` records every file's SHA-256, which `load` then checks: torch's own
    reader does not see a flipped bit.

    All methods are collective. The state is copied, or on a CPU forked, before `save` returns:
    training may go on at once.
    """

    def __init__(self, root: Path, keep: int, background: bool = False, hashes: bool = True):
        self.root, self.keep, self.hashes = root, keep, hashes
        self._queue = AsyncCallsQueue() if background else None
        # Where the writers leave their results; megatron-core would spawn a process a rank for it
        # that imports the whole program (seconds, 0.8 GB) and outlives a killed trainer.
        filesystem_async._results_queue = _shared_queue() if background else queue.Queue()
        self._publish: Callable[[], None] | None = None

    def save(self, state: TrainState, extra: dict[str, Any]) -> Path:
        """Write root/step_N, N = state.step; a save under way is finished first. `extra` is JSON
        that `load` gives back.

        Does nothing when step_N is already the latest, so a complete checkpoint is never taken away
        to be written again. Raises SeedbedError where there is no room or a write fails; the
        earlier checkpoints are then as they were.
        """
        self.finish()
        final = self.root / f"step_{state.step:08d}"
        if processes.broadcast_object(latest(self.root) == final):
            return final
        partial = final.with_name(final.name + ".partial")
        processes.on_main(lambda: _make_room(self.root, partial, _bytes(state)))
        manifest = _manifest(state, extra)
        with self._failures_named(partial):
            request = dist_checkpointing.save(
                _sharded(
                    state,
                    loading=False,
                    weights_only=False,
                    history=bool(fp8_scales.kept(state.fp8)),
                ),
                str(partial),
                async_sharded_save=self._queue is not None,
                async_strategy="mcore",
                verify_integrity=self.hashes,
            )
            if self._queue is not None:
                self._queue.schedule_async_request(request)
        self._publish = lambda: _publish(self.root, partial, final, manifest, self.keep)
        if self._queue is None:
            self._done()
        return final

    def poll(self) -> None:
        """Publish a background save that is complete; between steps."""
        if self._queue is not None and self._publish:
            with self._failures_named(self.root):
                done = self._queue.maybe_finalize_async_calls(blocking=False)
            if done:
                self._done()

    def finish(self) -> None:
        """Wait for a background save."""
        if self._queue is not None and self._publish:
            with self._failures_named(self.root):
                self._queue.maybe_finalize_async_calls(blocking=True)
            self._done()

    def _done(self) -> None:
        processes.barrier()
        assert self._publish
        processes.on_main(self._publish)
        self._publish = None

    @contextlib.contextmanager
    def _failures_named(self, partial: Path) -> Iterator[None]:
        try:
            yield
        except _FAULTS as error:
            if processes.is_lost_peer(error):
                raise
            newest = latest(self.root)
            raise SeedbedError(
                f"the checkpoint {partial} could not be written: {_first_words(error)}",
                "make room or mend the disk, then start again: it goes on from "
                + (f"{newest.name}, which is whole" if newest else "the beginning"),
            ) from error


def save(state: TrainState, root: Path, extra: dict[str, Any], keep: int) -> Path:
    """`Writer.save`, once."""
    return Writer(root, keep).save(state, extra)


def _make_room(root: Path, partial: Path, needed: int) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for leftover in root.glob("*.partial"):
        shutil.rmtree(leftover)
    free = shutil.disk_usage(root).free
    if free < needed:
        raise SeedbedError(
            f"a checkpoint takes {needed / 1e9:.2f} GB and {root} has {free / 1e9:.2f} GB free; nothing was written",
            "make room, or lower keep, then start again: it goes on from the last checkpoint",
        )
    partial.mkdir()


def _publish(root: Path, partial: Path, final: Path, manifest: dict[str, Any], keep: int) -> None:
    (partial / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    # left over where `latest` was set back by hand
    shutil.rmtree(final, ignore_errors=True)
    os.rename(partial, final)
    _replace(root / "latest", final.name + "\n")
    for old in sorted(root.glob("step_*[0-9]"))[:-keep]:
        shutil.rmtree(old)


def _bytes(state: TrainState) -> int:
    """Of one checkpoint: weights, fp32 masters under bf16, Adam's two moments."""
    width = 4 + 8 if state.dtype == "fp32" else 2 + 4 + 8
    return state.model.parameters(padded_vocab(state.vocab_size)) * width


def _first_words(error: BaseException) -> str:
    """What failed, in one line: megatron-core wraps the errors of all processes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [
        line for line in lines if "Error" in line or "No space" in line or "too large" in line
    ]
    return f"{type(error).__name__}: {(telling or lines or [''])[-1][:300]}"


def latest(root: Path) -> Path | None:
    """The newest complete checkpoint, or None."""
    pointer = root / "latest"
    if not pointer.is_file():
        return None
    folder = root / pointer.read_text().strip()
    if not (folder / "manifest.json").is_file():
        raise SeedbedError(
            f"{pointer} names {folder.name}, which is not there",
            f"write the name of a step_* folder into {pointer}",
        )
    return folder


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of one checkpoint folder, or of the newest under a root."""
    folder = Path(folder)
    found = folder if (folder / "manifest.json").is_file() else latest(folder)
    if found is None:
        raise SeedbedError(
            f"{folder} holds no checkpoint", "train first, or give the folder that holds `latest`"
        )
    return {**json.loads((found / "manifest.json").read_text()), "folder": str(found)}


def load(
    state: TrainState, folder: Path, weights_only: bool = False, begin: bool = False
) -> dict[str, Any]:
    """Fill `state` from one checkpoint folder, or the newest under a root, whatever layout wrote
    it. Returns its manifest.

    With `begin` a new run starts from it, at step 0 and perhaps with another RoPE base. Raises
    SeedbedError for another architecture, or an optimizer state of the other kind (distributed or
    not).
    """
    manifest = read_manifest(folder)
    wanted = _manifest(state, {})
    if begin:
        manifest["architecture"]["rope_base"] = state.model.rope_base
    _refuse_differences(manifest["folder"], manifest["architecture"], wanted["architecture"])
    if not weights_only and manifest["distributed_optimizer"] != state.layout.distributed_optimizer:
        raise SeedbedError(
            f"{manifest['folder']} was written with parallel.distributed_optimizer="
            f"{str(manifest['distributed_optimizer']).lower()}; "
            "the two kinds of Adam state cannot be read as each other",
            "set parallel.distributed_optimizer as it was",
        )
    if not weights_only and manifest["version"] < 2:
        raise SeedbedError(
            f"{manifest['folder']} was written by an earlier version, whose Adam state this one cannot read",
            "export its weights (python -m megatron_train.checkpoint.hf), or use another output folder",
        )
    history = not weights_only and _has_our_history(state, manifest)
    if history:
        fp8_scales.prepare(state.chunks, state.config)
    try:
        sharded = _sharded(state, loading=True, weights_only=weights_only, history=history)
        hashed = (Path(manifest["folder"]) / "integrity.json").is_file()
        loaded = dist_checkpointing.load(sharded, manifest["folder"], verify_integrity=hashed)
    except _FAULTS as error:
        raise SeedbedError(
            f"{manifest['folder']} cannot be read: {_first_words(error)}",
            f"delete it and write the name of an earlier step_* folder into {Path(manifest['folder']).parent / 'latest'}",
        ) from error
    for i, chunk in enumerate(state.chunks):
        model = unwrap(chunk)
        unpickled = {name: None for name in model.state_dict() if name.endswith(fp8_scales.PICKLED)}
        model.load_state_dict({**loaded[f"model{i}"], **unpickled}, strict=True)
    if weights_only:
        state.optimizer.reload_model_params()
    else:
        state.optimizer.load_state_dict(loaded["optimizer"])
    if history:
        fp8_scales.load(state.chunks, loaded["fp8"])
    state.step = 0 if begin else manifest["step"]
    return manifest


def _sharded(state: TrainState, loading: bool, weights_only: bool, history: bool) -> dict[str, Any]:
    weights.finish_weights(state.chunks)
    out: dict[str, Any] = {}
    for i, chunk in enumerate(state.chunks):
        entries = unwrap(chunk).sharded_state_dict(metadata=_METADATA)
        out[f"model{i}"] = {
            name: e for name, e in entries.items() if not name.endswith(fp8_scales.PICKLED)
        }
    if not weights_only:
        out["optimizer"] = state.optimizer.sharded_state_dict(
            dict(out), is_loading=loading, metadata=_METADATA
        )
        if history:
            out["fp8"] = fp8_scales.sharded(state.chunks, state.model.layers)
    return out


def _has_our_history(state: TrainState, manifest: dict[str, Any]) -> bool:
    """Whether to read FP8 scales. Not where the recipe keeps none, nor from a checkpoint of before
    FP8: then they start at 1, as they do in a new run.
    """
    ours, theirs = fp8_scales.kept(state.fp8), manifest["fp8_history"]
    if ours and theirs and ours != theirs:
        raise SeedbedError(
            f"{manifest['folder']} keeps the FP8 scales of {theirs}; this run's are of {ours}",
            "restore fp8.history and fp8.emulate, or take only its weights (hf export)",
        )
    return bool(ours and theirs)


def _manifest(state: TrainState, extra: dict[str, Any]) -> dict[str, Any]:
    architecture = dataclasses.asdict(state.model)
    # neither shapes a tensor
    del architecture["seq_length"], architecture["init_std"]
    return {
        # 1 named Adam's groups by their learning rate, which then could not change on resuming
        "version": 2,
        "step": state.step,
        "seed": state.seed,
        "architecture": {**architecture, "vocab_size": state.vocab_size, "dtype": state.dtype},
        "layout": dataclasses.asdict(state.layout),
        "world": processes.world(),
        "distributed_optimizer": state.layout.distributed_optimizer,
        "fp8_history": fp8_scales.kept(state.fp8),
        "made_with": {"torch": torch.__version__, "megatron-core": megatron.core.__version__},
        "extra": extra,
    }


def _refuse_differences(where: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    different = [
        f"{key}: {theirs.get(key)} there, {ours.get(key)} here"
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    ]
    if different:
        raise SeedbedError(
            f"{where} holds another architecture ({'; '.join(different)})",
            "restore these values, or use another output folder",
        )


def _shared_queue() -> Any:
    """A queue that a forked writer can fill before it ends, in a process that is forked as well and
    dies with this one.
    """
    manager = SyncManager(ctx=multiprocessing.get_context("fork"))
    manager.start(initializer=_serve_to_the_end)
    return manager.Queue()


def _serve_to_the_end() -> None:
    die_with_parent()
    # torchrun's, for the trainer: it saves, and needs the queue
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial.txt")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
