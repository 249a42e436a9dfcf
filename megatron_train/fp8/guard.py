"""The FP8 guard: the cosine between the FP8 and the bf16 gradient of the same sequences.

A layer whose cosine falls well below the others' is where FP8 costs most. It is the first to give
back to bf16 (fp8.bf16_ends).
"""

from __future__ import annotations

import re

import torch
import torch.distributed as dist
from megatron.core import parallel_state

from megatron_train.model import weights
from megatron_train.training.losses import Batch, LossFunction
from megatron_train.training.state import TrainState
from megatron_train.training.step import gradients


def cosines(state: TrainState, micro_batch: Batch, loss_fn: LossFunction) -> dict[str, float]:
    """{"embedding": 0.999, "layers.0": 0.98} and so on for each part of the model; collective.

    The gradients are those of the micro-batches of all data-parallel processes together. Process 0
    gets the cosines of all parts. No gradient is left behind.
    """
    gradients(state, [micro_batch], loss_fn)
    in_fp8 = {
        name: parameter.main_grad.clone()
        for name, parameter in weights.local_parameters(state.chunks).items()
    }
    with state.fp8.switched_off():
        gradients(state, [micro_batch], loss_fn)
    sums: dict[str, torch.Tensor] = {}
    for name, parameter in weights.local_parameters(state.chunks).items():
        a, b = in_fp8[name].flatten().double(), parameter.main_grad.flatten().double()
        part = _part(name)
        sums[part] = sums.get(part, 0) + torch.stack([a @ b, a @ a, b @ b])
    for chunk in state.chunks:
        chunk.zero_grad_buffer()
    group = parallel_state.get_tensor_and_data_parallel_group(True)
    # Slices and replicas are parts of one long vector.
    for values in sums.values():
        dist.all_reduce(values, group=group)
    mine = {part: float(v[0] / (v[1] * v[2]).sqrt()) for part, v in sums.items()}
    stages: list[dict[str, float]] = [{}] * parallel_state.get_pipeline_model_parallel_world_size()
    dist.all_gather_object(stages, mine, group=parallel_state.get_pipeline_model_parallel_group())
    return {part: value for stage in stages for part, value in stage.items()}


def _part(name: str) -> str:
    layer = re.search(r"layers\.\d+", name)
    return layer.group() if layer else name.split(".")[0]
