"""megatron-core's side of rl.contract, one process of its layout: torchrun -m rl.contract_worker REQUEST.json

Writes, beside the request, logprobs.json and a stage-N.safetensors for each pipeline stage: its layers' outputs for the first
sequence (rl/layers.py names them).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from safetensors.torch import save_file
from torch import Tensor

from conf.schema.pretrain import OptimConfig, ParallelConfig
from megatron_train import hf, parallel
from megatron_train.model import unwrap
from megatron_train.step import TrainState, build, token_logprobs
from rl import layers
from rl.batches import Example, micro_batches


def main(argv: list[str]) -> int:
    path = Path(argv[0])
    request = json.loads(path.read_text())
    layout, model = ParallelConfig(**request["layout"]), Path(request["model"])
    parallel.start(layout, seed=1)
    config, vocab_size = hf.model_config(model)
    state = build(config, vocab_size, layout, OptimConfig(), request["dtype"], seed=1)
    hf.load_weights(state, model)
    multiple = layout.sequence_multiple()
    batches = [
        micro_batches([Example(ids[:1], ids[1:], {}, {})], 1, 0, 1, 0, multiple)[0] for ids in request["sequences"]
    ]
    with layers.recorded(_modules(state), _rows) as found:
        first = token_logprobs(state, batches[:1])
    found = {name: _whole(rows, layout)[: len(request["sequences"][0]) - 1] for name, rows in found.items()}
    scores = [*first, *token_logprobs(state, batches[1:])]
    if parallel_state.get_tensor_model_parallel_rank() == 0:
        stage = parallel_state.get_pipeline_model_parallel_rank()
        save_file(found, path.with_name(f"stage-{stage}.safetensors"))
    if parallel.is_main():
        lists = [row[0, : len(ids) - 1].tolist() for row, ids in zip(scores, request["sequences"], strict=True)]
        path.with_name("logprobs.json").write_text(json.dumps(lists))
    parallel.barrier()
    parallel.stop()
    return 0


def _modules(state: TrainState) -> dict[str, torch.nn.Module]:
    found: dict[str, torch.nn.Module] = {}
    for chunk in map(unwrap, state.chunks):
        if chunk.pre_process:
            found["embedding"] = chunk.embedding
        found |= {f"layer {layer.layer_number}": layer for layer in chunk.decoder.layers}
    return found


def _rows(output: Any) -> Tensor:
    """[tokens, 1, hidden], as megatron-core lays them out, -> [tokens, hidden]."""
    return (output[0] if isinstance(output, tuple) else output)[:, 0]


def _whole(rows: Tensor, layout: ParallelConfig) -> Tensor:
    """The rows of all tokens, where sequence parallelism has cut them over the tensor-parallel processes."""
    if not layout.sequence_parallel:
        return rows
    group = parallel_state.get_tensor_model_parallel_group()
    parts = [torch.empty_like(rows) for _ in range(layout.tp)]
    dist.all_gather(parts, rows.to(parallel.device()), group=group)
    return torch.cat([part.cpu() for part in parts])


if __name__ == "__main__":
    parallel.run_ranks(main)
