"""The trainer's side of a parity check: log-probabilities and layers' outputs of token sequences.

megatron-core's model computes them in its own layout, cut over its processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from megatron_train.model.gpt import unwrap
from megatron_train.parallel import processes
from megatron_train.training.step import TrainState, token_logprobs
from rl.training.batches import Batch, Example, ProcessShare, micro_batches
from seedbed.inference import layer_outputs as residual_stream


def logprobs(
    state: TrainState, sequences: Sequence[Sequence[int]], temperature: float = 1.0
) -> list[list[float]]:
    """log p of each token but the first of each sequence, on every process; collective."""
    found = []
    # One sequence at a time, because a pipeline takes micro-batches of one shape.
    for ids in sequences:
        [scores] = token_logprobs(state, [_batch(state, ids)], temperature)
        found.append(scores[0, : len(ids) - 1].tolist())
    return found


def layer_outputs(state: TrainState, sequence: Sequence[int]) -> dict[str, Tensor]:
    """Outputs of each layer for all tokens but the last, on every process; collective.

    seedbed/inference/layer_outputs.py defines the names. Context parallelism is not supported.
    """
    with residual_stream.recorded(_modules(state), _rows) as found:
        token_logprobs(state, [_batch(state, sequence)])
    mine = {name: _whole(rows, state)[: len(sequence) - 1] for name, rows in found.items()}
    stages: list[dict[str, Tensor]] = [{}] * parallel_state.get_pipeline_model_parallel_world_size()
    dist.all_gather_object(stages, mine, group=parallel_state.get_pipeline_model_parallel_group())
    everything = {name: rows for stage in stages for name, rows in stage.items()}
    names = ["embedding", *(f"layer {number}" for number in range(1, state.model.layers + 1))]
    return {name: everything[name] for name in names}


def _batch(state: TrainState, ids: Sequence[int]) -> Batch:
    share = ProcessShare.everything(state.layout, pad_id=0)
    return micro_batches([Example(ids[:1], ids[1:], {}, {})], 1, share)[0]


def _modules(state: TrainState) -> dict[str, torch.nn.Module]:
    found: dict[str, torch.nn.Module] = {}
    for chunk in map(unwrap, state.chunks):
        if chunk.pre_process:
            found["embedding"] = chunk.embedding
        found |= {f"layer {layer.layer_number}": layer for layer in chunk.decoder.layers}
    return found


def _rows(output: Any) -> Tensor:
    """[tokens, 1, hidden], megatron-core's layout, -> [tokens, hidden]."""
    return (output[0] if isinstance(output, tuple) else output)[:, 0]


def _whole(rows: Tensor, state: TrainState) -> Tensor:
    """The rows of all tokens.

    Sequence parallelism cuts them over the tensor-parallel processes.
    """
    if not state.layout.sequence_parallel:
        return rows
    group = parallel_state.get_tensor_model_parallel_group()
    parts = [torch.empty_like(rows) for _ in range(state.layout.tp)]
    dist.all_gather(parts, rows.to(processes.device()), group=group)
    return torch.cat([part.cpu() for part in parts])
