"""FOLDER, IDS.json -> OUT.json: one score for each list of token ids, by vLLM on the CPU.

vllm_worker.py FOLDER IDS.json OUT.json
"""

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


def main(folder: str, ids_file: str, out: str) -> None:
    from vllm import LLM

    prompts = [{"prompt_token_ids": ids} for ids in json.loads(Path(ids_file).read_text())]
    model = LLM(folder, runner="pooling", dtype="float32", enforce_eager=True)
    Path(out).write_text(
        json.dumps([o.outputs.probs[0] for o in model.classify(prompts, use_tqdm=False)])
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
