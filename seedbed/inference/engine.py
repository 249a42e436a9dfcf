"""What every engine offers: it samples a policy, scores tokens, and takes new weights.

`process_engine.py` runs vLLM beside the trainer, and `http_engine.py` talks to a server.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from safetensors.torch import load_file
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How every prompt of one request is answered.

    stop_ids: tokens that end a response and belong to it.
    stop: strings that end a response and do not belong to it.
    """

    temperature: float
    max_tokens: int
    stop_ids: Sequence[int] = ()
    stop: Sequence[str] = ()
    top_p: float = 1.0


@dataclass(frozen=True)
class Sample:
    """One response.

    logprobs: log-probability of each token under the distribution that was sampled from.
    finished: whether the response ended by itself within the length limit.
    text: the response as text where stop strings were given, else empty.
    """

    tokens: list[int]
    logprobs: list[float]
    finished: bool
    text: str


class AnyEngine(ABC):
    """An engine that samples a policy and takes new weights, wherever it runs."""

    @abstractmethod
    def generate(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], sampling: Sampling
    ) -> list[Sample]:
        """One sample per prompt, from the prompt's own seed."""

    @abstractmethod
    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """The log-probability of each token but the first, at temperature 1."""

    @abstractmethod
    def call(self, method: str, *arguments: str) -> Any:
        """Calls a method of worker_extension.Extension and gives its result."""

    @abstractmethod
    def forget(self) -> None:
        """Drops every cached prefix."""

    def load(self, folder: Path) -> None:
        """Takes the weights of an HF folder of the same architecture, and drops cached prefixes."""
        self.call("seedbed_load", str(Path(folder).resolve()))
        self.forget()

    def sums(self) -> dict[str, str]:
        """The checksum of each tensor that the engine computes with (checksums.py)."""
        return self.call("seedbed_sums")

    def layers(self, sequence: Sequence[int], file: Path) -> dict[str, Tensor]:
        """What each layer adds to the residual stream, for all tokens but the last.

        The names and shapes are those of layer_outputs.py. The engine writes them to `file`.
        """
        self.forget()
        self.call("seedbed_record")
        self.score([sequence])
        self.call("seedbed_layers", str(file), str(len(sequence) - 1))
        return load_file(file)

    def close(self) -> None:
        """Lets go of what this process owns."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def sample_seed(seed: int, *parts: Any) -> int:
    """A sampling seed that depends on `seed` and on what is sampled, and on nothing else.

    parts: such as step, task and number. A resumed run then draws the same samples.
    """
    digest = hashlib.sha256(":".join(map(str, (seed, *parts))).encode()).digest()
    return int.from_bytes(digest[:7], "big")
