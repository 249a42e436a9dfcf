"""A vLLM server as the engine of a run.

Samples come by its OpenAI-compatible route, and weights go by its routes for training.

Each request has a seed of its own. So a request that was lost is sent again and gives the same
sample: an outage costs time and nothing else.

A server that restarts has its first weights again, and does not say so. So the weights of a run
have a name (`weight_version`). The engine asks for it before and after each batch of samples. If it
is another one, the engine sends the weights again and draws the samples anew.

The time of arrival decides which requests share a forward pass. So log-probabilities may differ in
their last bits from one call to the next.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any, TypeVar

from conf.errors import SeedbedError
from conf.schema.rl import EngineConfig
from seedbed.inference.engine import AnyEngine, Sample, Sampling

T = TypeVar("T")

# Seconds between two attempts: the first wait, which doubles up to the longest.
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
# Seconds that one answer may take, on a slow server with long responses.
REQUEST_S = 3600
# Requests in flight, at most.
CONNECTIONS = 128
# Times that a batch is drawn because the weights changed meanwhile.
ROUNDS = 5
# HTTP statuses of a proxy that has no server behind it.
GONE = (502, 503, 504)


class HttpEngine(AnyEngine):
    """The server at cfg.url, which `rl.serve` started.

    Raises SeedbedError when it refuses a request, or is silent for cfg.patience_s.
    """

    def __init__(self, cfg: EngineConfig):
        self._url, self._patience = cfg.url.rstrip("/"), cfg.patience_s
        self._connections = min(cfg.max_sequences, CONNECTIONS)
        self._model = ""
        self._version = ""
        self._restore: Callable[[], None] | None = None

    def generate(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], sampling: Sampling
    ) -> list[Sample]:
        common: dict[str, Any] = {
            name: getattr(sampling, name) for name in ("temperature", "top_p", "max_tokens")
        }
        common |= {"stop_token_ids": list(sampling.stop_ids), "stop": list(sampling.stop)}
        common |= {"logprobs": 0, "return_token_ids": True}
        each = [
            {"prompt": list(ids), "seed": seed, **common}
            for ids, seed in zip(prompts, seeds, strict=True)
        ]
        answers = self._under_one_policy(lambda: self._complete(each))
        return [
            Sample(
                tokens=answer["token_ids"],
                logprobs=answer["logprobs"]["token_logprobs"],
                finished=answer["finish_reason"] == "stop",
                text=answer["text"] if sampling.stop else "",
            )
            for answer in answers
        ]

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        each = [
            {"prompt": list(ids), "temperature": 0.0, "max_tokens": 1, "prompt_logprobs": 0}
            for ids in sequences
        ]
        answers = self._under_one_policy(lambda: self._complete(each))
        return [
            [
                at[str(token)]["logprob"]
                for at, token in zip(answer["prompt_logprobs"][1:], ids[1:], strict=True)
            ]
            for answer, ids in zip(answers, sequences, strict=True)
        ]

    def call(self, method: str, *arguments: str) -> Any:
        [result] = self.post("collective_rpc", {"method": method, "args": list(arguments)})[
            "results"
        ]
        return result

    def forget(self) -> None:
        if not self.post("reset_prefix_cache")["success"]:
            raise SeedbedError(
                f"{self._url} could not empty its prefix cache",
                "let no other run sample from this server",
            )

    def named(self, version: str, restore: Callable[[], None]) -> None:
        """Names the weights that the server has now.

        restore: gives the server the same weights again, without naming them.
        """
        self._restore = restore
        self._version = version
        self.post("update_weight_version", {"new_version": version})

    def post(self, route: str, body: dict[str, Any] | None = None) -> Any:
        """The answer to a POST request. It is sent again after an outage."""
        return self._ask(route, json.dumps(body or {}).encode())

    def get(self, route: str) -> Any:
        """The answer to a GET request. It is sent again after an outage."""
        return self._ask(route, None)

    def _under_one_policy(self, draw: Callable[[], T]) -> T:
        """What `draw` gives, once all of it comes from the weights of this run."""
        for _ in range(ROUNDS):
            if self._version and self.get("weight_info")["weight_version"] != self._version:
                assert self._restore is not None
                self._restore()
                self.named(self._version, self._restore)
            self.forget()
            found = draw()
            if not self._version or self.get("weight_info")["weight_version"] == self._version:
                return found
        raise SeedbedError(
            f"{self._url} lost its weights {ROUNDS} times within one batch of samples",
            "read the server's log: it keeps restarting, or another run gives it weights",
        )

    def _complete(self, each: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """One completion per request, in the order of the requests."""
        self._model = self._model or self.get("v1/models")["data"][0]["id"]
        with ThreadPoolExecutor(self._connections) as pool:
            answers = pool.map(
                lambda body: self.post("v1/completions", {"model": self._model, **body}), each
            )
            return [answer["choices"][0] for answer in answers]

    def _ask(self, route: str, body: bytes | None) -> Any:
        request = urllib.request.Request(
            f"{self._url}/{route}", body, {"Content-Type": "application/json"}
        )
        wait, lost = FIRST_WAIT, None
        while True:
            try:
                with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:
                    return json.loads(answer.read() or b"{}")
            except urllib.error.HTTPError as error:
                said = error.read().decode(errors="replace")[:500]
                if error.code not in GONE:
                    raise SeedbedError(
                        f"{self._url}/{route} answers {error.code}: {said}", "read the server's log"
                    ) from None
                fault: Exception = error
            except (OSError, HTTPException, json.JSONDecodeError) as error:
                # The connection was refused or cut off, or the answer is only half there.
                fault = error
            lost = lost or time.monotonic()
            if time.monotonic() - lost > self._patience:
                raise SeedbedError(
                    f"{self._url} has not answered for engine.patience_s={self._patience} "
                    f"seconds: {fault}",
                    "start the server again (`python -m rl.serve`), then the run, which goes on "
                    "from its last checkpoint",
                ) from fault
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
