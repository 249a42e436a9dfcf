"""A vLLM server as the engine of a run: samples through its OpenAI-compatible route, weights by its
routes for training.

Every request carries its own seed, so one that was lost is asked again and gives the same sample:
an outage costs time and nothing else. A server that starts again holds its first weights and says
nothing. So the weights that a run gave bear a name (`weight_version`), which is asked for before
and after each batch of samples; where it is not ours the weights are given again and the samples
are drawn anew. Times of arrival decide which requests share a forward pass, so log-probabilities
may differ in their last bits from one call to the next.
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

# seconds between two tries
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
# one answer may take so long, on a slow server with long responses
REQUEST_S = 3600
CONNECTIONS = 128
# times that a batch is drawn anew because the weights changed under it
ROUNDS = 5
# what a proxy says when nobody is behind it
GONE = (502, 503, 504)


class HttpEngine(AnyEngine):
    """The server at cfg.url (`rl.serve`).

    Raises SeedbedError when it refuses a request or is silent for cfg.patience_s.
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
                place[str(token)]["logprob"]
                for place, token in zip(answer["prompt_logprobs"][1:], ids[1:], strict=True)
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
        """The weights that the server has now are called `version`; `restore` gives them again,
        without naming them.
        """
        self._restore = restore
        self._version = version
        self.post("update_weight_version", {"new_version": version})

    def post(self, route: str, body: dict[str, Any] | None = None) -> Any:
        """The answer to a POST, however often it must be tried."""
        return self._ask(route, json.dumps(body or {}).encode())

    def get(self, route: str) -> Any:
        return self._ask(route, None)

    def _under_one_policy(self, draw: Callable[[], T]) -> T:
        """What `draw` gives, all of it from the weights that this run gave."""
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
            "read the server's log: it starts again and again, or another run gives it weights",
        )

    def _complete(self, each: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """One completion a request, in the order of the requests."""
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
                # refused, cut off, or half an answer
                fault = error
            lost = lost or time.monotonic()
            if time.monotonic() - lost > self._patience:
                raise SeedbedError(
                    f"{self._url} has not answered for engine.patience_s={self._patience} seconds: {fault}",
                    "start the server again (`python -m rl.serve`); the run, started again, goes on from its last checkpoint",
                ) from fault
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
