"""vLLM on the CPU: `logprobs|scores FOLDER IDS.json OUT.json`, token ids in, numbers out."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.update(
    HF_HUB_OFFLINE="1",
    VLLM_NO_USAGE_STATS="1",
    VLLM_CPU_KVCACHE_SPACE="1",
    VLLM_CPU_OMP_THREADS_BIND="nobind",
    VLLM_ENABLE_V1_MULTIPROCESSING="0",
    VLLM_LOGGING_LEVEL="ERROR",
)


def main(what: str, folder: str, ids_file: str, out: str) -> None:
    from vllm import LLM, SamplingParams

    prompts = [{"prompt_token_ids": ids} for ids in json.loads(Path(ids_file).read_text())]
    runner = "generate" if what == "logprobs" else "pooling"
    model = LLM(folder, runner=runner, dtype="float32", enforce_eager=True, skip_tokenizer_init=what == "logprobs")
    if what == "logprobs":
        outputs = model.generate(
            prompts, SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False), use_tqdm=False
        )
        found = [
            [entry[token].logprob for entry, token in zip(o.prompt_logprobs[1:], o.prompt_token_ids[1:], strict=True)]
            for o in outputs
        ]
    else:
        found = [o.outputs.probs[0] for o in model.classify(prompts, use_tqdm=False)]
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
