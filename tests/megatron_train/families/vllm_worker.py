"""OUT.json IDS.json FOLDER... -> OUT.json: log-probabilities of the ids by vLLM, for each folder.

vllm_worker.py OUT.json IDS.json FOLDER [FOLDER...]
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

# It sets the environment of vLLM on a CPU.
from tests.megatron_train import vllm_worker  # noqa: F401


def main(out: str, ids_file: str, *folders: str) -> None:
    from vllm import LLM, SamplingParams

    rows = json.loads(Path(ids_file).read_text())
    # One token is the fewest that it draws.
    asked = SamplingParams(max_tokens=1, prompt_logprobs=0)
    found = {}
    for folder in folders:
        model = LLM(folder, dtype="float32", enforce_eager=True, skip_tokenizer_init=True)
        outputs = model.generate([{"prompt_token_ids": ids} for ids in rows], asked)
        found[folder] = [
            [
                step[token].logprob
                for step, token in zip(one.prompt_logprobs[1:], ids[1:], strict=True)
            ]
            for one, ids in zip(outputs, rows, strict=True)
        ]
        del model
        gc.collect()
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
