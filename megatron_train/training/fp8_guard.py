"""The FP8 guard: every so many steps, the same few sequences once in FP8 and once in bf16, and the
cosine of the two gradients.

A layer whose cosine falls well below the others' is where FP8 costs most: the first to give back to
bf16 (fp8.bf16_ends).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import torch
import torch.distributed as dist
from megatron.core import parallel_state

from megatron_train.fp8 import linear as fp8_linear
from megatron_train.model import weights
from megatron_train.training.step import Batch, LossFunction, TrainState, gradients


def cosines(state: TrainState, micro_batch: Batch, loss_fn: LossFunction) -> dict[str, float]:
    """{"embedding": 0.999, "layers.0": ...} of the micro-batches of all data-parallel processes
    together, on process 0; the other processes see those of their own pipeline stage. Collective;
    leaves no gradient and no amax behind.
    """
    gradients(state, [micro_batch], loss_fn)
    in_fp8 = {
        name: parameter.main_grad.clone()
        for name, parameter in weights.local_parameters(state.chunks).items()
    }
    with _bf16(state):
        gradients(state, [micro_batch], loss_fn)
    sums: dict[str, torch.Tensor] = {}
    for name, parameter in weights.local_parameters(state.chunks).items():
        a, b = in_fp8[name].flatten().double(), parameter.main_grad.flatten().double()
        part = _part(name)
        sums[part] = sums.get(part, 0) + torch.stack([a @ b, a @ a, b @ b])
    for chunk in state.chunks:
        chunk.zero_grad_buffer()
    fp8_linear.forget_step(state.chunks)
    group = parallel_state.get_tensor_and_data_parallel_group(True)
    # slices and replicas are parts of one long vector
    for values in sums.values():
        dist.all_reduce(values, group=group)
    mine = {part: float(v[0] / (v[1] * v[2]).sqrt()) for part, v in sums.items()}
    stages: list[dict[str, float]] = [{}] * parallel_state.get_pipeline_model_parallel_world_size()
    dist.all_gather_object(stages, mine, group=parallel_state.get_pipeline_model_parallel_group())
    return {part: value for stage in stages for part, value in stage.items()}


@contextlib.contextmanager
def _bf16(state: TrainState) -> Iterator[None]:
    """Inside, the model computes in bf16: emulated layers are switched off, Transformer Engine's
    see no FP8 context.
    """
    linears, asked = fp8_linear.installed(state.chunks), state.config.fp8
    try:
        state.config.fp8 = None
        for linear in linears:
            linear.enabled = False
        yield
    finally:
        state.config.fp8 = asked
        for linear in linears:
            linear.enabled = True


def _part(name: str) -> str:
    layer = re.search(r"layers\.\d+", name)
    return layer.group() if layer else name.split(".")[0]
