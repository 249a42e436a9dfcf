"""The process that vLLM runs in: JSON requests come on stdin, and JSON replies go to stdout.

`process_engine.py` starts it and talks to it. A process of its own keeps vLLM's process groups and
environment apart from the trainer's, and a dead engine shows as a closed pipe. vLLM itself starts
no further process here, so its weights can be reached without a pickle.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from seedbed.processes import die_with_parent


def main() -> None:
    """Serve requests until stdin is closed."""
    # A trainer that is killed must leave no engine behind.
    die_with_parent()
    replies = os.fdopen(os.dup(1), "w")
    # vLLM prints to stdout, which must not reach the replies.
    os.dup2(2, 1)
    server = Server(json.loads(sys.argv[1]))
    _send(replies, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(server, "do_" + request.pop("do"))(**request)
        except Exception as error:
            # Whatever vLLM raises, the trainer must learn of it.
            reply = {"error": f"{type(error).__name__}: {error}"}
        _send(replies, reply)


class Server:
    """One vllm.LLM, and the requests that the trainer may make.

    arguments: those of `vllm_settings.arguments`.
    """

    def __init__(self, arguments: dict[str, Any]):
        from vllm import LLM

        self._llm = LLM(**arguments, disable_log_stats=True)

    def do_generate(
        self, prompts: list[list[int]], seeds: list[int], sampling: dict[str, Any]
    ) -> dict[str, Any]:
        """One sample per prompt. sampling: the fields of seedbed.inference.engine.Sampling."""
        from vllm import SamplingParams

        stop_ids, stop = sampling.pop("stop_ids"), sampling.pop("stop")
        sampling |= {
            "stop_token_ids": stop_ids,
            "stop": stop or None,
            "detokenize": bool(stop),
            "logprobs": 0,
        }
        params = [SamplingParams(seed=seed, **sampling) for seed in seeds]
        outputs = self._llm.generate(
            [{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False
        )
        return {"samples": [_sample(output.outputs[0]) for output in outputs]}

    def do_score(self, sequences: list[list[int]]) -> dict[str, Any]:
        """The log-probability of each token but the first of each sequence, at temperature 1."""
        from vllm import SamplingParams

        params = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        outputs = self._llm.generate(
            [{"prompt_token_ids": ids} for ids in sequences], params, use_tqdm=False
        )
        return {
            "logprobs": [
                _logprobs(output.prompt_logprobs[1:], ids[1:])
                for output, ids in zip(outputs, sequences, strict=True)
            ]
        }

    def do_call(self, method: str, arguments: list[str]) -> dict[str, Any]:
        """Calls a method of worker_extension.Extension."""
        [result] = self._llm.collective_rpc(method, args=tuple(arguments))
        return {"result": result}

    def do_forget(self) -> dict[str, Any]:
        """Drops every cached prefix."""
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("the prefix cache could not be emptied")
        return {}


def _sample(output: Any) -> dict[str, Any]:
    """A completion of vLLM as the fields of seedbed.inference.engine.Sample."""
    return {
        "tokens": list(output.token_ids),
        "logprobs": _logprobs(output.logprobs, output.token_ids),
        "finished": output.finish_reason == "stop",
        "text": output.text,
    }


def _logprobs(candidates: Sequence[dict[int, Any]], ids: Sequence[int]) -> list[float]:
    """The log-probability of each token, from vLLM's candidates at its position."""
    return [at[token].logprob for at, token in zip(candidates, ids, strict=True)]


def _send(replies: TextIO, value: dict[str, Any]) -> None:
    replies.write(json.dumps(value) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
