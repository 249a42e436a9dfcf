"""Sections and rules that the programs of post-training share."""

from __future__ import annotations

from dataclasses import dataclass

from conf.errors import SeedbedError
from conf.schema.checks import holds_tables, one_of
from conf.schema.interpreter import InterpreterConfig
from conf.schema.ranges import Count, Few, FewOrNone, Seed


@dataclass(frozen=True)
class ProblemConfig:
    """The generated problems: how many of each kind, and from which seed.

    rl/problems/toy_functions.py makes them. No held-out function is trained on.
    """

    train: Count = 400
    heldout: Count = 96
    seed: Seed = 1


@dataclass(frozen=True)
class SandboxConfig(InterpreterConfig):
    """How programs are judged (docs/post-train.md)."""

    # Programs that are judged at once. 0 means one per core.
    workers: FewOrNone = 0


@dataclass(frozen=True)
class EngineConfig:
    """vLLM, in a process beside training process 0, or a server that `rl.serve` started."""

    # http://HOST:PORT of the server, whose own settings then hold for what follows. Empty means a
    # process of this run.
    url: str = ""
    # How a server gets new weights: from a folder that both see (safetensors), or over NCCL from
    # GPU to GPU.
    transfer: str = "safetensors"
    # Seconds without an answer before the run gives up, whether the server is gone or restarting.
    patience_s: Count = 600

    # bfloat16 is emulated, and slower, on processors without AVX512-BF16 or AMX.
    dtype: str = "float32"
    kv_cache_gb: Few = 1
    # Sequences that are decoded together.
    max_sequences: Count = 256
    # Two threads on two busy cores are several times slower than one.
    threads: Few = 1

    def check(self) -> None:
        """Refuses unknown dtypes and transfers."""
        one_of("engine.dtype", self.dtype, "float32", "bfloat16")
        one_of("engine.transfer", self.transfer, "safetensors", "nccl")


def check_training(output: str, dtype: str) -> None:
    """The rules of the fields that every trainer has."""
    holds_tables("output", output)
    one_of("dtype", dtype, "fp32", "bf16")


def check_temperature(temperature: float) -> None:
    """Refuses greedy sampling and temperatures above 2."""
    if not 0 < temperature <= 2:
        raise SeedbedError(
            f"temperature={temperature} is not in (0, 2]: "
            "greedy samples of a prompt are all equal and teach nothing",
            "use 0.6 (the paper's) to 1.0",
        )
