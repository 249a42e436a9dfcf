"""What a layout costs, by arithmetic alone: memory by part, pipeline bubble, bytes on the wire,
time and money.

Bytes and seconds are of one GPU, the busiest one: the first pipeline stage for memory (it holds
most micro-batches), the last for the head. Nothing here touches torch;
tests/megatron_train/test_plan.py compares it with measured allocations.
"""

from __future__ import annotations

from dataclasses import dataclass

from conf.schema.pretrain import BatchConfig, ModelConfig, ParallelConfig


@dataclass(frozen=True)
class Gpu:
    """Data-sheet figures (dense, without sparsity); dollars are an assumption of ours, to be
    overridden.
    """

    # bytes
    memory: float
    # FLOP/s
    bf16: float
    fp8: float
    # bytes/s of memory
    bandwidth: float
    # bytes/s one way, within a node
    nvlink: float
    # bytes/s one way, between nodes
    network: float
    # an hour
    dollars: float


GPUS = {
    "a100": Gpu(80e9, 312e12, 312e12, 2.04e12, 300e9, 25e9, 1.5),
    "h100": Gpu(80e9, 989e12, 1979e12, 3.35e12, 450e9, 50e9, 2.5),
    "h200": Gpu(141e9, 989e12, 1979e12, 4.8e12, 450e9, 50e9, 3.0),
    "b200": Gpu(180e9, 2250e12, 4500e12, 8.0e12, 900e9, 50e9, 5.0),
}
# GPUs that NVLink joins
NODE = 8
# Assumptions about what good kernels reach. The FP8 figure is fitted to one published row
# (docs/pretrain.md, with the error at another one); the rest are ours.
MATMUL_EFFICIENCY = {"bf16": 0.65, "fp8": 0.50, "fp32": 0.65}
# of the bf16 rate: flash attention with causal mask, forward and backward
ATTENTION_EFFICIENCY = 0.50
LINK_EFFICIENCY = 0.75
# of the memory bandwidth
ELEMENTWISE_EFFICIENCY = 0.80
# the rest: CUDA context, NCCL buffers, fragmentation
USABLE_MEMORY = 0.92


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


@dataclass(frozen=True)
class Traffic:
    """Bytes one GPU sends in one step."""

    tensor: float
    pipeline: float
    context: float
    data: float


@dataclass(frozen=True)
class Speed:
    step_seconds: float
    # a second
    tokens_per_gpu: float
    # a second: without recomputation
    model_flops_per_gpu: float
    # seconds of a step by cause; they add up
    parts: dict[str, float]


def stage_parameters(
    model: ModelConfig, layout: ParallelConfig, padded_vocab: int, stage: int
) -> int:
    """Weights of one GPU of pipeline stage `stage`."""
    head = model.hidden // model.heads
    keys = model.kv_heads * head
    attention = model.hidden * (2 * model.hidden + 2 * keys)
    matrices = (attention + 3 * model.hidden * model.ffn) // layout.tp
    count = model.layers // layout.pp * (matrices + 2 * model.hidden)
    embedding = padded_vocab // layout.tp * model.hidden
    last = stage == layout.pp - 1
    if stage == 0:
        count += embedding
    if last:
        count += model.hidden
        # a tied head on another stage is a copy
        if not model.tie_embeddings or layout.pp > 1:
            count += embedding
    return count


def layer_activations(model: ModelConfig, layout: ParallelConfig, width: int, fused: bool) -> float:
    """Bytes that one layer keeps for the backward pass, for each token of a micro-batch on one
    context-parallel process.

    width: bytes of a value. Korthikanti et al. (arXiv 2205.05198 Sec 4) with grouped queries,
    SwiGLU and no dropout. Kept are: both norms' inputs and outputs (4 h, cut over tp under sequence
    parallelism); query, key and value (h + 2 k), cut over tp, and the attention's output (h),
    likewise; the gated pair (2 f) and its product (f). Without Transformer Engine (fused=False)
    torch
    keeps in addition: the norms' input and normalised value in fp32 (4 h); the storage that the
    value shares with query and key before rotation (h + k); the attention's output a second time
    (h); silu(gate) and the up-projection again (2 f); statistics.
    """
    h, k, f = model.hidden, model.hidden // model.heads * model.kv_heads, model.ffn
    cut = layout.tp if layout.sequence_parallel else 1
    norms = 2 * _norm(model, layout, width, fused)
    inner = (2 * h + 2 * k + 3 * f) / layout.tp
    statistics = 4 * model.heads / layout.tp + 8 / cut
    if not fused:
        inner += (2 * h + k + 2 * f) / layout.tp
    return norms + inner * width + statistics


def _norm(model: ModelConfig, layout: ParallelConfig, width: int, fused: bool) -> float:
    """Bytes that one norm keeps for each token: its input and its output; torch's own an fp32 input
    and normalised value.
    """
    kept = 2 * width if fused else 8 + width
    return model.hidden * kept / (layout.tp if layout.sequence_parallel else 1)


def memory(
    model: ModelConfig,
    layout: ParallelConfig,
    micro: int,
    micro_batches: int,
    dp: int,
    padded_vocab: int,
    dtype: str,
    stage: int,
    fused: bool = True,
) -> Memory:
    """Bytes on one GPU of `stage`.

    Gradients are fp32, Adam's two moments too, and under bf16 there are fp32 master weights.
    """
    width = 4 if dtype == "fp32" else 2
    parameters = stage_parameters(model, layout, padded_vocab, stage)
    states = 8 + (4 if dtype != "fp32" else 0)
    tokens = micro * model.seq_length / layout.cp
    layers = model.layers / layout.pp
    whole = layer_activations(model, layout, width, fused)
    # What selective recomputation lets go: the attention's statistics and, without Transformer
    # Engine, its output's first copy.
    attention = 4 * model.heads / layout.tp + (0 if fused else model.hidden / layout.tp * width)
    entry = model.hidden / (layout.tp if layout.sequence_parallel else 1) * width
    kept = {"none": whole, "selective": whole - attention, "full": entry}
    in_flight = min(layout.pp - stage, micro_batches)
    # Narayanan et al. (arXiv 2104.04473 Sec 2.2): the warm-up of an interleaved pipeline is longer
    if layout.vpp > 1:
        in_flight = min(layout.pp * (1 + (layout.pp - 1) / (layout.pp * layout.vpp)), micro_batches)
    activations = tokens * layers * kept[layout.recompute] * in_flight
    if layout.recompute == "full":
        # of the layer at work
        activations += tokens * whole
    logits = 0.0
    if stage == layout.pp - 1:
        activations += tokens * _norm(model, layout, width, fused)
        # Logits in the weights' type, their fp32 copy, and the gradient of one of them.
        logits = tokens * padded_vocab / layout.tp * (4 + (width if width < 4 else 0) + 4)
    return Memory(
        weights=parameters * width,
        gradients=parameters * 4,
        optimizer=parameters * states / (dp * layout.cp if layout.distributed_optimizer else 1),
        activations=activations,
        logits=logits,
    )


def flops_per_token(model: ModelConfig, vocab: int) -> tuple[float, float]:
    """(matrix products, attention) of forward and backward for one token: 6 a weight, and 12 L h s
    / 2 under a causal mask.
    """
    matrices = model.parameters(vocab) - vocab * model.hidden * (0 if model.tie_embeddings else 1)
    return 6.0 * matrices, 6.0 * model.layers * model.hidden * model.seq_length


def bubble(layout: ParallelConfig, micro_batches: int) -> float:
    """Idle share of a step: (pp - 1) / (vpp * m + pp - 1), Narayanan et al. (arXiv 2104.04473 Sec
    2.2).
    """
    return (layout.pp - 1) / (layout.vpp * micro_batches + layout.pp - 1)


def traffic(
    model: ModelConfig,
    layout: ParallelConfig,
    micro: int,
    micro_batches: int,
    dp: int,
    padded_vocab: int,
    dtype: str,
) -> Traffic:
    """Bytes sent by one GPU of the first stage in a step.

    A ring all-reduce of n bytes over p sends 2 n (p - 1) / p.
    """
    width = 4 if dtype == "fp32" else 2
    tp, cp = layout.tp, layout.cp
    layers = model.layers / layout.pp
    hidden = micro * model.seq_length / cp * model.hidden * width
    again = 1 if layout.recompute == "full" else 0
    reductions = (
        4 + 2 * again + (1 if layout.sequence_parallel else 0)
        # two forward, two backward; inputs gathered once more
    )
    tensor = micro_batches * layers * reductions * 2 * hidden * (tp - 1) / tp
    boundary = hidden / (tp if layout.sequence_parallel else 1)
    pipeline = micro_batches * 2 * boundary * layout.vpp if layout.pp > 1 else 0.0
    keys = 2 * model.hidden // model.heads * model.kv_heads / tp * micro * model.seq_length * width
    context = micro_batches * layers * (2 + again) * keys * (cp - 1) / cp
    replicas = dp * cp
    parameters = stage_parameters(model, layout, padded_vocab, 0)
    data = (
        parameters
        * (4 + (width if layout.distributed_optimizer else 4))
        * (replicas - 1)
        / replicas
    )
    return Traffic(tensor, pipeline, context, data)


def speed(
    model: ModelConfig,
    layout: ParallelConfig,
    batch: BatchConfig,
    gpus: int,
    vocab: int,
    dtype: str,
    fp8: bool,
    gpu: Gpu,
) -> Speed:
    """Seconds of one step: compute, attention and memory-bound work, what communication does not
    hide, and the bubble.
    """
    dp = gpus // (layout.tp * layout.pp * layout.cp)
    micro_batches = batch.total // (batch.micro * dp)
    tokens = batch.total * model.seq_length
    matrices, attention = flops_per_token(model, vocab)
    again = {"none": (0.0, 0.0), "selective": (0.0, 1 / 3), "full": (1 / 3, 1 / 3)}[
        layout.recompute
    ]
    kind = "fp8" if fp8 else dtype
    rate = gpu.fp8 if fp8 else gpu.bf16
    each = tokens / gpus
    # stays in bf16
    head = 6.0 * vocab * model.hidden
    matmul = each * (1 + again[0]) * (matrices - head) / (rate * MATMUL_EFFICIENCY[kind])
    matmul += each * head / (gpu.bf16 * MATMUL_EFFICIENCY["bf16"])
    flash = each * (1 + again[1]) * attention / (gpu.bf16 * ATTENTION_EFFICIENCY)
    # Each kept value is written and read in the forward pass and twice more in the backward pass.
    width = 4 if dtype == "fp32" else 2
    kept = (
        layer_activations(model, layout, width, fused=True)
        * model.layers
        / layout.pp
        * tokens
        / dp
        / layout.cp
    )
    elementwise = 4 * kept / (gpu.bandwidth * ELEMENTWISE_EFFICIENCY)
    update = stage_parameters(model, layout, vocab, 0) / (
        dp * layout.cp if layout.distributed_optimizer else 1
    )
    optimizer = update * 28 / (gpu.bandwidth * ELEMENTWISE_EFFICIENCY)
    sent = traffic(model, layout, batch.micro, micro_batches, dp, vocab, dtype)
    inner = gpu.nvlink * LINK_EFFICIENCY
    outer = gpu.network * LINK_EFFICIENCY
    tensor = sent.tensor / (inner if layout.tp <= NODE else outer)
    context = sent.context / (inner if layout.tp * layout.cp <= NODE else outer)
    data = sent.data / (inner if gpus <= NODE else outer)
    pipeline = sent.pipeline / (inner if gpus <= NODE else outer)
    busy = matmul + flash + elementwise
    # of the backward pass
    hidden = 0.8 * (2 / 3) * busy if layout.overlap else 0.0
    exposed = max(data - hidden, 0.1 * data)
    parts = {
        "matrix products": matmul,
        "attention": flash,
        "memory-bound": elementwise,
        "tensor parallel": tensor,
        # overlaps with attention
        "context parallel": max(context - flash / 2, 0.1 * context),
        "pipeline sends": pipeline,
    }
    idle = bubble(layout, micro_batches)
    parts["pipeline bubble"] = sum(parts.values()) * idle / (1 - idle)
    parts |= {"gradient reduction": exposed, "optimizer": optimizer}
    seconds = sum(parts.values())
    return Speed(seconds, each / seconds, each * (matrices + attention) / seconds, parts)


def fits(
    model: ModelConfig,
    layout: ParallelConfig,
    batch: BatchConfig,
    gpus: int,
    vocab: int,
    dtype: str,
    gpu: Gpu,
) -> bool:
    """Do the first and the last stage stay below USABLE_MEMORY?"""
    dp = gpus // (layout.tp * layout.pp * layout.cp)
    number = batch.total // (batch.micro * dp)
    return all(
        memory(model, layout, batch.micro, number, dp, vocab, dtype, stage).total
        <= USABLE_MEMORY * gpu.memory
        for stage in {0, layout.pp - 1}
    )
