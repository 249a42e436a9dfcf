"""The trainer's side of the engine: start it, sample from it, give it new weights and prove that it
holds them.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from safetensors.torch import load_file
from torch import Tensor

from conf.errors import SeedbedError
from conf.schema.rl import EngineConfig
from seedbed.inference import vllm_settings

# What torchrun and the trainer set for their own process groups; vLLM would read it as its own.
_TORCHRUN = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "ROLE_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
)


COMMAND = (sys.executable, "-m", "seedbed.inference.engine_process")


@dataclass(frozen=True)
class Sampling:
    """How every prompt of one request is answered.

    stop_ids end a response and belong to it; stop strings end it and do not.
    """

    temperature: float
    max_tokens: int
    stop_ids: Sequence[int] = ()
    stop: Sequence[str] = ()
    top_p: float = 1.0


@dataclass(frozen=True)
class Sample:
    """One response: token ids, their log-probabilities under the distribution sampled from, whether
    it ended by itself within the length limit, and its text where stop strings were given (else
    empty).
    """

    tokens: list[int]
    logprobs: list[float]
    finished: bool
    text: str


class AnyEngine(ABC):
    """What samples a policy and takes new weights, wherever it runs."""

    @abstractmethod
    def generate(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], sampling: Sampling
    ) -> list[Sample]:
        """One sample for each prompt, from its own seed."""

    @abstractmethod
    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """log p of each token but the first, at temperature 1."""

    @abstractmethod
    def call(self, method: str, *arguments: str) -> Any:
        """The result of a method of seedbed/inference/worker_extension.py."""

    @abstractmethod
    def forget(self) -> None:
        """Drop every cached prefix."""

    def load(self, folder: Path) -> None:
        """Take the weights of an HF folder of the same architecture, and forget every cached
        prefix.
        """
        self.call("seedbed_load", str(Path(folder).resolve()))
        self.forget()

    def sums(self) -> dict[str, str]:
        """Checksum of each tensor that the engine computes with (seedbed/inference/checksums.py)."""
        return self.call("seedbed_sums")

    def layers(self, sequence: Sequence[int], file: Path) -> dict[str, Tensor]:
        """What each layer puts into the residual stream for all tokens but the last
        (seedbed/inference/layer_outputs.py), by way of `file`.
        """
        self.forget()
        self.call("seedbed_record")
        self.score([sequence])
        self.call("seedbed_layers", str(file), str(len(sequence) - 1))
        return load_file(file)

    def close(self) -> None:
        """Let go of what this process owns."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Engine(AnyEngine):
    """A vLLM process. The constructor returns at once; the first request waits until the model is
    loaded (13 s on a quiet CPU).

    Raises SeedbedError, with the end of its log, when the process dies or refuses a request.
    """

    def __init__(self, model: Path, max_length: int, cfg: EngineConfig, log: Path):
        self._log = log
        settings = json.dumps(vllm_settings.arguments(model, max_length, cfg))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as log_file:
            self._process = subprocess.Popen(
                [*COMMAND, settings],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                text=True,
                env=_environment(cfg),
            )
        self._ready = False

    def generate(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], sampling: Sampling
    ) -> list[Sample]:
        """The cache is emptied first, so that the same request gives the same samples, whatever was
        asked before.
        """
        self.forget()
        asked = {
            "prompts": [list(p) for p in prompts],
            "seeds": list(seeds),
            "sampling": asdict(sampling),
        }
        reply = self._ask("generate", **asked)
        return [Sample(**sample) for sample in reply["samples"]]

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        return self._ask("score", sequences=[list(s) for s in sequences])["logprobs"]

    def call(self, method: str, *arguments: str) -> Any:
        return self._ask("call", method=method, arguments=arguments)["result"]

    def forget(self) -> None:
        self._ask("forget")

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.stdin.close()  # type: ignore[union-attr]
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        if not self._ready:
            self._receive()
            self._ready = True
        try:
            self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            # the read below says why
            pass
        reply = self._receive()
        if "error" in reply:
            raise SeedbedError(
                f"the engine could not {what}: {reply['error']}", f"read {self._log}"
            )
        return reply

    def _receive(self) -> dict[str, Any]:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            code = self._process.wait()
            last = [
                text for text in self._log.read_text(errors="replace").splitlines() if text.strip()
            ][-1:]
            raise SeedbedError(
                f"the engine ended with exit code {code}: {''.join(last)}",
                f"read {self._log}; a run that is started again goes on from its last checkpoint",
            )
        return json.loads(line)


def sample_seed(seed: int, *parts: Any) -> int:
    """A sampling seed that depends on what is sampled alone (such as step, task and number), so a
    resumed run samples the same.
    """
    digest = hashlib.sha256(":".join(map(str, (seed, *parts))).encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _environment(cfg: EngineConfig) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _TORCHRUN and "TORCHELASTIC" not in name
    }
    return kept | vllm_settings.environment(cfg)
