"""megatron-core's side of rl.check_parity, which starts one such process per rank of the layout.

    torchrun -m rl.parity.worker REQUEST.json

Writes, beside the request, logprobs.json and megatron.safetensors. The latter holds the layers'
outputs for the first sequence, by the names of seedbed/inference/layer_outputs.py.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from conf.schema.pretrain import OptimConfig, ParallelConfig
from megatron_train.checkpoint import hf_config, hf_import
from megatron_train.parallel import processes
from megatron_train.training.step import build
from rl.parity import trainer


def main(argv: list[str]) -> int:
    path = Path(argv[0])
    request = json.loads(path.read_text())
    layout, model = ParallelConfig(**request["layout"]), Path(request["model"])
    processes.start(layout, seed=1)
    config, vocab_size = hf_config.model_config(model)
    state = build(config, vocab_size, layout, OptimConfig(), request["dtype"], seed=1)
    hf_import.load_weights(state, model)
    scores = trainer.logprobs(state, request["sequences"])
    found = trainer.layer_outputs(state, request["sequences"][0])
    if processes.is_main():
        save_file(found, path.with_name("megatron.safetensors"))
        path.with_name("logprobs.json").write_text(json.dumps(scores))
    processes.barrier()
    processes.stop()
    return 0


if __name__ == "__main__":
    processes.run_ranks(main)
