"""The engine gets the trainer's weights; one checksum per tensor shows that it holds them."""

from __future__ import annotations

from pathlib import Path

from conf.errors import SeedbedError
from conf.schema.rl import EngineConfig
from megatron_train.checkpoint import hf_export, hf_import
from megatron_train.parallel.processes import on_main
from megatron_train.training.step import TrainState
from rl.weight_sync.nccl import NcclTransfer
from seedbed.inference import checksums
from seedbed.inference.checksums import Sums
from seedbed.inference.engine import AnyEngine
from seedbed.inference.http_engine import HttpEngine
from seedbed.inference.process_engine import Engine

# The port where trainer process 0 waits for the server's workers.
NCCL_PORT = 29511


def open_engine(model: Path, max_length: int, cfg: EngineConfig, log: Path) -> AnyEngine:
    """The server at cfg.url, or else an engine process that loads `model`."""
    return HttpEngine(cfg) if cfg.url else Engine(model, max_length, cfg, log)


def give_folder(engine: AnyEngine, folder: Path, sums: Sums) -> None:
    """Gives an engine the weights of a Hugging Face folder that it sees.

    A server that loses them later is given them again. sums: checksums of the folder's tensors.

    Raises:
        SeedbedError: naming a tensor, where the engine computes with another weight.
    """

    def give() -> None:
        engine.load(folder)
        checksums.check(sums, engine.sums())

    give()
    if isinstance(engine, HttpEngine):
        engine.named(checksums.version(sums), give)


def sums_of_folder(folder: Path, dtype: str) -> Sums:
    """Checksum of each tensor of a Hugging Face folder, rounded to the engine's dtype."""
    sums = Sums(dtype)
    for name, tensor in hf_import.stored(folder):
        sums.add(name, tensor)
    return sums


class WeightSync:
    """Weights from one trainer, in any layout, to one engine, which only process 0 needs."""

    def __init__(self, cfg: EngineConfig, engine: AnyEngine | None, folder: Path, base: Path):
        """folder: where the policy is exported, with the tokenizer of `base`."""
        self._cfg, self._engine, self._folder, self._base = cfg, engine, folder, base
        self._nccl: NcclTransfer | None = None

    def give(self, state: TrainState) -> None:
        """Gives the engine the present weights; collective.

        Raises:
            SeedbedError: on every process, naming a tensor, where the engine computes with another
                weight.
        """
        if self._cfg.transfer == "nccl":
            server = self._engine if isinstance(self._engine, HttpEngine) else None
            self._nccl = self._nccl or NcclTransfer(state, server, self._cfg.url, NCCL_PORT)
            sums = self._nccl.send(self._cfg.dtype)
        else:
            sums = Sums(self._cfg.dtype)
            hf_export.export(state, self._folder, self._base, sums.add)
        on_main(lambda: self._settle(sums))

    def _settle(self, sums: Sums) -> None:
        if self._nccl is None:
            assert self._engine is not None
            give_folder(self._engine, self._folder, sums)
            return
        assert isinstance(self._engine, HttpEngine)
        self._engine.forget()
        checksums.check(sums, self._engine.sums())
        self._engine.named(checksums.version(sums), self._lost)

    def _lost(self) -> None:
        raise SeedbedError(
            f"{self._cfg.url} has lost its weights, and NCCL cannot bring them back within a step",
            "start the run again: it goes on from its last checkpoint",
        )

    def close(self) -> None:
        """Leaves the NCCL group, where there is one."""
        if self._nccl is not None:
            self._nccl.close()
