"""Sections and rules that the programs of post-training share."""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.checks import holds_tables, one_of, positive
from conf.schema.pretrain import BatchConfig


@dataclass(frozen=True)
class ProblemConfig:
    """The generated problems: how many of each kind, and from which seed.

    rl/problems/toy_functions.py makes them. No held-out function is trained on.
    """

    train: int = 400
    heldout: int = 96
    seed: int = 1

    def check(self) -> None:
        """Refuses empty sets."""
        positive("problems.train", self.train)
        positive("problems.heldout", self.heldout)


@dataclass(frozen=True)
class SandboxConfig:
    """How programs are judged (docs/post-train.md)."""

    # Programs that are judged at once. 0 means one per core.
    workers: int = 0
    # Path of the CPython that judges. Empty means the one that runs the command.
    python: str = ""
    # Import names of packages installed beside it that programs and tests may use.
    packages: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Refuses a package that is no name."""
        for name in self.packages:
            if not all(word.isidentifier() for word in name.split(".")):
                raise SeedbedError(
                    f"sandbox.packages has {name!r}, which is no import name",
                    "give names as programs import them: sandbox.packages=[numpy,sympy]",
                )


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
    patience_s: int = 600

    # bfloat16 is emulated, and slower, on processors without AVX512-BF16 or AMX.
    dtype: str = "float32"
    kv_cache_gb: int = 1
    # Sequences that are decoded together.
    max_sequences: int = 256
    # Two threads on two busy cores are several times slower than one.
    threads: int = 1

    def check(self) -> None:
        """Refuses unknown dtypes and transfers."""
        one_of("engine.dtype", self.dtype, "float32", "bfloat16")
        one_of("engine.transfer", self.transfer, "safetensors", "nccl")
        positive("engine.patience_s", self.patience_s)


def check_training(output: str, dtype: str, save_every: int, keep: int) -> None:
    """The rules of the fields that every trainer has."""
    holds_tables("output", output)
    one_of("dtype", dtype, "fp32", "bf16")
    positive("save_every", save_every)
    positive("keep", keep)


def check_batch(batch: BatchConfig) -> None:
    """Refuses a batch that is no whole number of micro-batches."""
    if batch.micro < 1 or batch.total % batch.micro:
        raise SeedbedError(
            f"batch.total must divide by batch.micro: {batch.total} % {batch.micro}",
            "choose batch.total as a multiple of batch.micro",
        )


def check_temperature(temperature: float) -> None:
    """Refuses greedy sampling and temperatures above 2."""
    if not 0 < temperature <= 2:
        raise SeedbedError(
            f"temperature={temperature} is not in (0, 2]: "
            "greedy samples of a prompt are all equal and teach nothing",
            "use 0.6 (the paper's) to 1.0",
        )
