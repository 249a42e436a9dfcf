"""An engine in a process of its own, seen from the trainer: starts it, asks it, ends it.

`engine_process.py` is what runs in that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from conf.schema.rl import EngineConfig
from seedbed.inference import vllm_settings
from seedbed.inference.engine import AnyEngine, Sample, Sampling

COMMAND = (sys.executable, "-m", "seedbed.inference.engine_process")

# What torchrun and the trainer set for their own process groups. vLLM would take it for its own.
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


class Engine(AnyEngine):
    """A vLLM process.

    The constructor returns at once. The first request waits until the model is loaded, which takes
    13 s on a quiet CPU.

    Raises SeedbedError with the end of the log when the process dies or refuses a request.
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
        """One sample per prompt, from the prompt's own seed.

        Cached prefixes are dropped first. So the same request always gives the same samples,
        whatever was asked before.
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
            # The process has ended. `_receive` says why.
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
            lines = self._log.read_text(errors="replace").splitlines()
            last = [text for text in lines if text.strip()][-1:]
            raise SeedbedError(
                f"the engine ended with exit code {code}: {''.join(last)}",
                f"read {self._log}; a run that is started again goes on from its last checkpoint",
            )
        return json.loads(line)


def _environment(cfg: EngineConfig) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _TORCHRUN and "TORCHELASTIC" not in name
    }
    return kept | vllm_settings.environment(cfg)
