"""vLLM in a process of its own: JSON requests on stdin, JSON replies on what was stdout.
seedbed/inference/engine.py starts it and talks to it.

The process apart keeps vLLM's process groups and environment out of the trainer, which has its own,
and lets a dead engine be seen as a closed pipe. Inside it vLLM runs in-process, so the weights are
reached without a pickle crossing a process boundary.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from seedbed.processes import die_with_parent


def main() -> None:
    # a trainer that is killed leaves no engine behind
    die_with_parent()
    replies = os.fdopen(os.dup(1), "w")
    # vLLM prints; the reply channel must stay clean
    os.dup2(2, 1)
    server = Server(json.loads(sys.argv[1]))
    _send(replies, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(server, "do_" + request.pop("do"))(**request)
        except Exception as error:
            # whatever vLLM raises, the trainer must hear of it
            reply = {"error": f"{type(error).__name__}: {error}"}
        _send(replies, reply)


class Server:
    """One vllm.LLM, made with `arguments` (seedbed/inference/vllm_settings.py), and what the
    trainer asks of it.
    """

    def __init__(self, arguments: dict[str, Any]):
        from vllm import LLM

        self._llm = LLM(**arguments, disable_log_stats=True)

    def do_generate(
        self, prompts: list[list[int]], seeds: list[int], sampling: dict[str, Any]
    ) -> dict[str, Any]:
        """One sample a prompt. sampling: the fields of seedbed.inference.engine.Sampling."""
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
        samples = [output.outputs[0] for output in outputs]
        return {
            "samples": [
                {
                    "tokens": list(s.token_ids),
                    "logprobs": [
                        place[token].logprob
                        for place, token in zip(s.logprobs, s.token_ids, strict=True)
                    ],
                    "finished": s.finish_reason == "stop",
                    "text": s.text,
                }
                for s in samples
            ]
        }

    def do_score(self, sequences: list[list[int]]) -> dict[str, Any]:
        """log p of every token but the first of each sequence, at temperature 1."""
        from vllm import SamplingParams

        params = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        outputs = self._llm.generate(
            [{"prompt_token_ids": ids} for ids in sequences], params, use_tqdm=False
        )
        return {
            "logprobs": [
                [
                    place[token].logprob
                    for place, token in zip(o.prompt_logprobs[1:], ids[1:], strict=True)
                ]
                for o, ids in zip(outputs, sequences, strict=True)
            ]
        }

    def do_call(self, method: str, arguments: list[str]) -> dict[str, Any]:
        """A method of seedbed/inference/worker_extension.py."""
        [result] = self._llm.collective_rpc(method, args=tuple(arguments))
        return {"result": result}

    def do_forget(self) -> dict[str, Any]:
        """Drop every cached prefix."""
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("the prefix cache could not be emptied")
        return {}


def _send(replies: TextIO, value: dict[str, Any]) -> None:
    replies.write(json.dumps(value) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
