"""megatron-core's side of rl.contract, one process of its layout: torchrun -m rl.contract_worker REQUEST.json

Writes, beside the request, logprobs.json and megatron.safetensors: the layers' outputs for the first sequence (rl/layers.py names
them).
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from conf.schema.pretrain import OptimConfig, ParallelConfig
from megatron_train import hf, parallel
from megatron_train.step import build
from rl import trainer_view


def main(argv: list[str]) -> int:
    path = Path(argv[0])
    request = json.loads(path.read_text())
    layout, model = ParallelConfig(**request["layout"]), Path(request["model"])
    parallel.start(layout, seed=1)
    config, vocab_size = hf.model_config(model)
    state = build(config, vocab_size, layout, OptimConfig(), request["dtype"], seed=1)
    hf.load_weights(state, model)
    scores = trainer_view.logprobs(state, request["sequences"])
    found = trainer_view.layer_outputs(state, request["sequences"][0])
    if parallel.is_main():
        save_file(found, path.with_name("megatron.safetensors"))
        path.with_name("logprobs.json").write_text(json.dumps(scores))
    parallel.barrier()
    parallel.stop()
    return 0


if __name__ == "__main__":
    parallel.run_ranks(main)
