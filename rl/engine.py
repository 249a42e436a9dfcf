"""vLLM in a process of its own: JSON requests on stdin, JSON replies on what was stdout. rl/rollout.py starts it and talks to it.

The process apart keeps vLLM's process groups and environment out of the trainer, which has its own, and lets a dead
engine be seen as a closed pipe. Inside it vLLM runs in-process, so the weights are reached without a pickle crossing a
process boundary.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from rl.sandbox.inside import kernel


def main() -> None:
    kernel.die_with_parent()  # a trainer that is killed leaves no engine behind
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # vLLM prints; the reply channel must stay clean
    settings = json.loads(sys.argv[1])
    server = Server(settings)
    _send(replies, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(server, "do_" + request.pop("do"))(**request)
        except Exception as error:  # whatever vLLM raises, the trainer must hear of it
            reply = {"error": f"{type(error).__name__}: {error}"}
        _send(replies, reply)


class Server:
    """One vllm.LLM and what the trainer asks of it."""

    def __init__(self, settings: dict[str, Any]):
        from vllm import LLM

        self._llm = LLM(
            model=settings["model"],
            dtype=settings["dtype"],
            max_model_len=settings["max_length"],
            max_num_seqs=settings["max_sequences"],
            # A prompt cut over two passes makes vLLM turn back its seeded generator, which CPU generators cannot do.
            enable_chunked_prefill=False,
            max_num_batched_tokens=max(settings["max_length"], 8192),
            enforce_eager=True,
            enable_prefix_caching=True,
            disable_log_stats=True,
            logprobs_mode="processed_logprobs",  # of the distribution sampled from, temperature included
            seed=0,
        )

    def do_generate(
        self,
        prompts: list[list[int]],
        seeds: list[int],
        temperature: float,
        max_tokens: int,
        stop_ids: list[int],
        stop: list[str],
    ) -> dict[str, Any]:
        """One sample a prompt. The cache is emptied first, so that a sample depends on this request alone, not on
        earlier ones."""
        from vllm import SamplingParams

        self._llm.reset_prefix_cache()
        params = [
            SamplingParams(
                temperature=temperature,
                max_tokens=max_tokens,
                seed=seed,
                logprobs=0,
                stop_token_ids=stop_ids,
                stop=stop or None,
                detokenize=bool(stop),
            )
            for seed in seeds
        ]
        outputs = self._llm.generate([{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False)
        samples = [output.outputs[0] for output in outputs]
        return {
            "samples": [
                {
                    "tokens": list(s.token_ids),
                    "logprobs": [place[token].logprob for place, token in zip(s.logprobs, s.token_ids, strict=True)],
                    "finished": s.finish_reason == "stop",
                    "text": s.text,
                }
                for s in samples
            ]
        }

    def do_score(self, sequences: list[list[int]]) -> dict[str, Any]:
        """log p of every token but the first of each sequence, at temperature 1."""
        from vllm import SamplingParams

        self._llm.reset_prefix_cache()
        params = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        outputs = self._llm.generate([{"prompt_token_ids": ids} for ids in sequences], params, use_tqdm=False)
        return {
            "logprobs": [
                [place[token].logprob for place, token in zip(o.prompt_logprobs[1:], ids[1:], strict=True)]
                for o, ids in zip(outputs, sequences, strict=True)
            ]
        }

    def do_layers(self, sequence: list[int], file: str) -> dict[str, Any]:
        """Write each layer's output for all tokens of `sequence` but the last (rl/layers.py) as safetensors."""
        from safetensors.torch import save_file

        [outputs] = self._llm.collective_rpc(_record, args=(self.do_score, sequence))
        save_file({name: rows[: len(sequence) - 1].contiguous() for name, rows in outputs.items()}, file)
        return {"layers": len(outputs)}

    def do_load(self, folder: str) -> dict[str, Any]:
        """Replace the weights by those of an HF folder of the same architecture."""
        self._llm.collective_rpc(_reload, args=(folder,))
        self._llm.reset_prefix_cache()
        return {"loaded": folder}


def _record(worker: Any, score: Any, sequence: list[int]) -> dict[str, Any]:
    from rl import layers

    # A layer gives the change of the residual stream and the stream before it apart.
    modules = layers.llama_modules(worker.model_runner.get_model())
    with layers.recorded(modules, lambda output: sum(output) if isinstance(output, tuple) else output) as found:
        score([sequence])
    return found


def _reload(worker: Any, folder: str) -> None:
    worker.reload_weights(weights_path=folder)
    model = worker.model_runner.get_model()
    if model.config.tie_word_embeddings:
        # On CPUs vLLM keeps a repacked copy of lm_head, which a reload of tied embeddings leaves as it was, without an error.
        model.lm_head.quant_method.process_weights_after_loading(model.lm_head)


def _send(replies: TextIO, value: dict[str, Any]) -> None:
    replies.write(json.dumps(value) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
