"""Checkpoints that any layout can load: megatron-core's torch_dist shards and a manifest.

The manifest holds step, seed, architecture, layout and what the caller adds. Generators are seeded
from (seed, step), so no generator state is stored (processes.seed_step). How the folders appear
stands in step_folders.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
import queue
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
from conf.schema.layout import ModelConfig
from megatron_train.checkpoint import adam_kinds
from megatron_train.checkpoint.step_folders import latest, make_room, publish, read_manifest
from megatron_train.model import weights
from megatron_train.model.gpt import padded_vocab, unwrap
from megatron_train.parallel import processes
from megatron_train.training.state import TrainState
from seedbed.processes import die_with_parent

# It announces at every synchronous save that its asynchronous one is deprecated.
logging.getLogger("megatron.core.dist_checkpointing.strategies.torch").setLevel(logging.ERROR)

# torch, megatron-core and the file system each have their own family of errors. torch's is not even
# an Exception.
_FAULTS = (Exception, CheckpointException)

# Optimizer state that loads in every layout, and keys without a prefix (megatron-core
# distrib_optimizer.py).
_METADATA = {"distrib_optim_sharding_type": "fully_reshardable", "chained_optim_avoid_prefix": True}


class CheckpointWriter:
    """Saves under one root and keeps the newest `keep` checkpoints. All methods are collective.

    With `background` a forked process writes. The state is copied, or on a CPU forked, before
    `save` returns, so training may go on at once. `hashes` records every file's SHA-256, which
    `load` then checks; torch's own reader does not notice a flipped bit.
    """

    def __init__(self, root: Path, keep: int, background: bool = False, hashes: bool = True):
        self.root, self.keep, self.hashes = root, keep, hashes
        self._queue = AsyncCallsQueue() if background else None
        # The writers leave their results in this queue. megatron-core would spawn a process for it
        # in each rank, which imports the whole program (seconds, 0.8 GB) and outlives a killed
        # trainer.
        filesystem_async._results_queue = _shared_queue() if background else queue.Queue()
        self._publish: Callable[[], None] | None = None

    def save(self, state: TrainState, extra: dict[str, Any]) -> Path:
        """Write root/step_N, where N = state.step. `extra` is JSON that `load` gives back.

        A save that is under way is finished first. Nothing happens when step_N is already the
        latest, so a complete checkpoint is never taken away to be written again.

        Raises:
            SeedbedError: where there is no room or a write fails. The earlier checkpoints are then
                as they were.
        """
        self.finish()
        final = self.root / f"step_{state.step:08d}"
        if processes.on_main(lambda: latest(self.root) == final):
            return final
        partial = final.with_name(final.name + ".partial")
        room = processes.on_main(lambda: make_room(self.root, partial, _bytes(state), self.keep))
        if room and processes.is_main():
            print(f"deleted before step {state.step} was saved: {', '.join(room)}", flush=True)
        manifest = _manifest(state, extra)
        with self._failures_named(partial):
            request = dist_checkpointing.save(
                _with_optimizer(state, _model(state), state.fp8.save(), loading=False),
                str(partial),
                async_sharded_save=self._queue is not None,
                async_strategy="mcore",
                verify_integrity=self.hashes,
            )
            if self._queue is not None:
                self._queue.schedule_async_request(request)
        self._publish = lambda: publish(partial, final, manifest, self.keep)
        if self._queue is None:
            self._done()
        return final

    def poll(self) -> None:
        """Publish a background save that is complete; call it between steps."""
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
                "make room, lower keep or mend the disk, then start again: it goes on from "
                + (f"{newest.name}, which is whole" if newest else "the beginning"),
            ) from error


def save(state: TrainState, root: Path, extra: dict[str, Any], keep: int) -> Path:
    """`CheckpointWriter.save`, once."""
    return CheckpointWriter(root, keep).save(state, extra)


def load(
    state: TrainState, folder: Path, weights_only: bool = False, begin: bool = False
) -> dict[str, Any]:
    """Fill `state` from one checkpoint folder, or from the newest under a root; collective.

    Whatever layout wrote it can be read. Returns its manifest. With `begin` a new run starts from
    it, at step 0 and perhaps with another base or scaling of its rotary positions.

    Adam's state may be of another kind (adam_kinds.py).

    Raises:
        SeedbedError: for another architecture, and for files that cannot be read.
    """
    manifest = read_manifest(folder)
    wanted = _manifest(state, {})
    # What an older checkpoint does not name was not there to be set.
    manifest["architecture"] = {**_architecture(ModelConfig()), **manifest["architecture"]}
    if begin:
        for name in ("rope_base", "rope"):
            manifest["architecture"][name] = wanted["architecture"][name]
    _refuse_differences(manifest["folder"], manifest["architecture"], wanted["architecture"])
    model = _model(state)
    entries = model
    scales: dict[str, Any] = {}
    distributed = manifest["distributed_optimizer"]
    # megatron-core gives experts an optimizer of their own where ep > 1.
    apart = manifest["layout"].get("ep", 1) > 1
    other_kind = (distributed, apart) != (state.layout.distributed_optimizer, state.layout.ep > 1)
    if not weights_only:
        _refuse_other_optimizer(state, manifest)
        scales = state.fp8.expect(manifest["fp8_history"], manifest["folder"])
    if not weights_only and other_kind:
        adam = adam_kinds.wanted(model, distributed, state.dtype != "fp32")
        entries = {**model, "adam": adam, **({"fp8": scales} if scales else {})}
    elif not weights_only:
        entries = _with_optimizer(state, model, scales, loading=True)
    loaded = _read(entries, Path(manifest["folder"]))
    for i, chunk in enumerate(state.chunks):
        part = unwrap(chunk)
        pickled = {name: None for name in part.state_dict() if state.fp8.is_pickled(name)}
        part.load_state_dict({**loaded[f"model{i}"], **pickled}, strict=True)
    if weights_only:
        state.optimizer.reload_model_params()
    elif other_kind:
        taken = adam_kinds.steps_taken(loaded["optimizer"], manifest["folder"])
        adam_kinds.fill(state.optimizer, _model(state), loaded["adam"], taken)
    else:
        state.optimizer.load_state_dict(loaded["optimizer"])
    if scales:
        state.fp8.load(loaded["fp8"])
    state.step = 0 if begin else manifest["step"]
    return manifest


def _read(entries: dict[str, Any], folder: Path) -> dict[str, Any]:
    hashed = (folder / "integrity.json").is_file()
    try:
        return dist_checkpointing.load(entries, str(folder), verify_integrity=hashed)
    except _FAULTS as error:
        raise SeedbedError(
            f"{folder} cannot be read: {_first_words(error)}",
            "delete it and write the name of an earlier step_* folder into "
            f"{folder.parent / 'latest'}",
        ) from error


def _model(state: TrainState) -> dict[str, Any]:
    weights.finish_weights(state.chunks)
    out = {}
    for i, chunk in enumerate(state.chunks):
        entries = unwrap(chunk).sharded_state_dict(metadata=_METADATA)
        out[f"model{i}"] = {
            name: entry for name, entry in entries.items() if not state.fp8.is_pickled(name)
        }
    return out


def _with_optimizer(
    state: TrainState, entries: dict[str, Any], scales: dict[str, Any], loading: bool
) -> dict[str, Any]:
    """The model's entries, the optimizer's, and the FP8 scales where there are any."""
    optimizer = state.optimizer.sharded_state_dict(
        dict(entries), is_loading=loading, metadata=_METADATA
    )
    return {**entries, "optimizer": optimizer, **({"fp8": scales} if scales else {})}


def _manifest(state: TrainState, extra: dict[str, Any]) -> dict[str, Any]:
    architecture = _architecture(state.model)
    if state.lora is not None:
        architecture["lora"] = dataclasses.asdict(state.lora)
    return {
        # Version 1 named Adam's groups by their learning rate, which could not change on resuming.
        "version": 2,
        "step": state.step,
        "seed": state.seed,
        "architecture": {**architecture, "vocab_size": state.vocab_size, "dtype": state.dtype},
        "layout": dataclasses.asdict(state.layout),
        "world": processes.world(),
        "distributed_optimizer": state.layout.distributed_optimizer,
        "optimizer": state.optim.name,
        "mup_width": state.width,
        "fp8_history": state.fp8.kept,
        "made_with": {"torch": torch.__version__, "megatron-core": megatron.core.__version__},
        "extra": extra,
    }


def _architecture(model: ModelConfig) -> dict[str, Any]:
    architecture = dataclasses.asdict(model)
    # Neither of them shapes a tensor.
    del architecture["seq_length"], architecture["init_std"]
    return architecture


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


def _refuse_other_optimizer(state: TrainState, manifest: dict[str, Any]) -> None:
    width = manifest.get("mup_width", 1.0)
    if width != state.width:
        raise SeedbedError(
            f"{manifest['folder']} was trained at {width:g} times muP's base width, and this run "
            f"says {state.width:g}",
            "restore mup.base_hidden, or begin with parent=FOLDER of its export",
        )
    # Checkpoints from before there was a choice have AdamW's state.
    theirs = manifest.get("optimizer", "adamw")
    if theirs != state.optim.name:
        raise SeedbedError(
            f"{manifest['folder']} holds the state of optim.name={theirs}, and this run has "
            f"optim.name={state.optim.name}",
            f"set optim.name={theirs}, or export the weights and begin with parent=FOLDER",
        )
    if manifest["version"] < 2:
        raise SeedbedError(
            f"{manifest['folder']} was written by an earlier version, whose Adam state this one "
            "cannot read",
            "export its weights (python -m megatron_train.export_hf), or use another output folder",
        )


def _bytes(state: TrainState) -> int:
    """Bytes of one checkpoint: weights, fp32 masters under bf16, and Adam's two moments."""
    width = 4 + 8 if state.dtype == "fp32" else 2 + 4 + 8
    return state.model.parameters(padded_vocab(state.vocab_size)) * width


def _first_words(error: BaseException) -> str:
    """What failed, in one line: megatron-core wraps the errors of all processes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [
        line for line in lines if "Error" in line or "No space" in line or "too large" in line
    ]
    return f"{type(error).__name__}: {(telling or lines or [''])[-1][:300]}"


def _shared_queue() -> Any:
    """A queue that a forked writer can fill before it ends.

    It is served by a process that is forked as well, and that dies with this one.
    """
    manager = SyncManager(ctx=multiprocessing.get_context("fork"))
    manager.start(initializer=_serve_to_the_end)
    return manager.Queue()


def _serve_to_the_end() -> None:
    die_with_parent()
    # torchrun and schedulers signal all: the trainer then saves, and still needs the queue.
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
