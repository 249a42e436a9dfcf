"""How fast a layout runs on given GPUs, by arithmetic on stated assumptions.

docs/pretrain.md shows how far the estimates are from published speeds.
"""

from __future__ import annotations

from dataclasses import dataclass

from megatron_train.parallel import costs
from megatron_train.parallel.costs import Workload


@dataclass(frozen=True)
class Gpu:
    """Data-sheet figures, dense, without sparsity; the price is an assumption of ours.

    memory in bytes; bf16 and fp8 in FLOP/s; bandwidth of the memory in bytes/s; nvlink and network
    in bytes/s one way, within and between nodes; dollars for one hour.
    """

    memory: float
    bf16: float
    fp8: float
    bandwidth: float
    nvlink: float
    network: float
    dollars: float


GPUS = {
    "a100": Gpu(80e9, 312e12, 312e12, 2.04e12, 300e9, 25e9, 1.5),
    "h100": Gpu(80e9, 989e12, 1979e12, 3.35e12, 450e9, 50e9, 2.5),
    "h200": Gpu(141e9, 989e12, 1979e12, 4.8e12, 450e9, 50e9, 3.0),
    "b200": Gpu(180e9, 2250e12, 4500e12, 8.0e12, 900e9, 50e9, 5.0),
}
# GPUs that NVLink joins.
NODE = 8
# Share of the peak that good kernels reach. The FP8 figure is fitted to one published row
# (docs/pretrain.md gives the error at another one); the others are assumptions of ours.
MATMUL_EFFICIENCY = {"bf16": 0.65, "fp8": 0.50, "fp32": 0.65}
# Flash attention with a causal mask, forward and backward, as a share of the bf16 peak.
ATTENTION_EFFICIENCY = 0.50
LINK_EFFICIENCY = 0.75
# Share of the memory bandwidth.
ELEMENTWISE_EFFICIENCY = 0.80
# The CUDA context, NCCL's buffers and fragmentation take the rest.
USABLE_MEMORY = 0.92


@dataclass(frozen=True)
class Speed:
    step_seconds: float
    # Tokens in one second.
    tokens_per_gpu: float
    # Operations in one second, without recomputation.
    model_flops_per_gpu: float
    # Seconds of a step by cause. They add up to step_seconds.
    parts: dict[str, float]


def speed(work: Workload, gpu: Gpu) -> Speed:
    """Seconds of one step: compute, communication that nothing hides, and the bubble."""
    layout = work.layout
    each = work.batch.total * work.model.seq_length / work.gpus
    # The others wait for the stage that has most layers.
    wait = _most_layers(work) * layout.pp / work.model.layers
    matmul, flash = (wait * seconds for seconds in _compute(work, gpu))
    elementwise, optimizer = _memory_bound(work, gpu)
    sent = costs.traffic(work)
    inner = gpu.nvlink * LINK_EFFICIENCY
    outer = gpu.network * LINK_EFFICIENCY
    tensor = sent.tensor / (inner if layout.tp <= NODE else outer)
    context = sent.context / (inner if layout.tp * layout.cp <= NODE else outer)
    data = sent.data / (inner if work.gpus <= NODE else outer)
    expert = sent.expert / (inner if layout.ep <= NODE else outer)
    pipeline = sent.pipeline / (inner if work.gpus <= NODE else outer)
    # The backward pass, two thirds of the work, can hide the reduction of gradients.
    hidden = 0.8 * (2 / 3) * (matmul + flash + elementwise) if layout.overlap else 0.0
    parts = {
        "matrix products": matmul,
        "attention": flash,
        "memory-bound": elementwise,
        "tensor parallel": tensor,
        # The exchange of keys and values overlaps with attention.
        "context parallel": max(context - flash / 2, 0.1 * context),
        "expert parallel": expert,
        "pipeline sends": pipeline,
    }
    idle = costs.bubble(layout, work.micro_batches)
    parts["pipeline bubble"] = sum(parts.values()) * idle / (1 - idle)
    parts |= {"gradient reduction": max(data - hidden, 0.1 * data), "optimizer": optimizer}
    seconds = sum(parts.values())
    flops = sum(costs.flops_per_token(work.model, work.padded_vocab))
    return Speed(seconds, each / seconds, each * flops / seconds, parts)


def _compute(work: Workload, gpu: Gpu) -> tuple[float, float]:
    """Seconds of one step for (matrix products, attention)."""
    model = work.model
    matrices, attention = costs.flops_per_token(model, work.padded_vocab)
    again = {"none": (0.0, 0.0), "selective": (0.0, 1 / 3), "full": (1 / 3, 1 / 3)}
    more_products, more_attention = again[work.layout.recompute]
    kind = "fp8" if work.fp8 else work.dtype
    rate = gpu.fp8 if work.fp8 else gpu.bf16
    each = work.batch.total * model.seq_length / work.gpus
    # The output layer stays in bf16.
    head = 6.0 * work.padded_vocab * model.hidden
    matmul = each * (1 + more_products) * (matrices - head) / (rate * MATMUL_EFFICIENCY[kind])
    matmul += each * head / (gpu.bf16 * MATMUL_EFFICIENCY["bf16"])
    flash = each * (1 + more_attention) * attention / (gpu.bf16 * ATTENTION_EFFICIENCY)
    return matmul, flash


def _memory_bound(work: Workload, gpu: Gpu) -> tuple[float, float]:
    """Seconds of one step for (elementwise work, Adam's update)."""
    model, layout = work.model, work.layout
    tokens = work.batch.total * model.seq_length
    kept = (
        costs.layer_activations(model, layout, work.width, fused=True)
        * _most_layers(work)
        * tokens
        / work.dp
        / layout.cp
    )
    # Each kept value is written and read in the forward pass and twice more in the backward pass.
    elementwise = 4 * kept / (gpu.bandwidth * ELEMENTWISE_EFFICIENCY)
    update = costs.updated_parameters(work, 0)
    # Adam reads and writes 28 bytes for each weight.
    return elementwise, update * 28 / (gpu.bandwidth * ELEMENTWISE_EFFICIENCY)


def _most_layers(work: Workload) -> int:
    """The layers of the stage that has most, which the others wait for."""
    stages = costs.telling_stages(work.layout)
    return max(work.layout.stage_layers(work.model.layers, stage) for stage in stages)


def fits(work: Workload, gpu: Gpu) -> bool:
    """Whether every stage stays below USABLE_MEMORY."""
    return all(
        costs.memory(work, stage).total <= USABLE_MEMORY * gpu.memory
        for stage in costs.telling_stages(work.layout)
    )
