"""What a layout costs in memory, idle time and bytes on the wire, by arithmetic alone.

Bytes are those of one GPU. For memory it is one of a given pipeline stage: the first stage holds
the most micro-batches, the last one the logits. Nothing here touches torch;
tests/megatron_train/test_plan.py compares it with measured allocations.
"""

from __future__ import annotations

from dataclasses import dataclass

from conf.schema.layout import BatchConfig, ModelConfig, ParallelConfig


@dataclass(frozen=True)
class Workload:
    """One training step: of which model, in which layout, on how many GPUs."""

    model: ModelConfig
    layout: ParallelConfig
    batch: BatchConfig
    gpus: int
    # With the rows that pad the embedding.
    padded_vocab: int
    dtype: str = "bf16"
    # FP8 in the linear layers of the transformer layers.
    fp8: bool = False
    # Transformer Engine's layers; torch's own keep more for the backward pass.
    fused: bool = True
    # Muon for the matrices of the layers.
    muon: bool = False

    @property
    def dp(self) -> int:
        """Data-parallel replicas."""
        return self.gpus // (self.layout.tp * self.layout.pp * self.layout.cp)

    @property
    def micro_batches(self) -> int:
        """Micro-batches of one replica in one step."""
        return self.batch.total // (self.batch.micro * self.dp)

    @property
    def width(self) -> int:
        """Bytes of a weight and of an activation."""
        return 4 if self.dtype == "fp32" else 2


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
    """Bytes that one GPU sends in one step, by kind of parallelism."""

    tensor: float
    pipeline: float
    context: float
    data: float
    expert: float = 0.0


def stage_experts(model: ModelConfig, layout: ParallelConfig, stage: int) -> int:
    """The number of experts' weights on one GPU of pipeline stage `stage`."""
    if not model.form.experts:
        return 0
    layers = layout.stage_layers(model.layers, stage)
    return layers * (model.experts.number // layout.ep) * model.expert_parameters


def stage_parameters(
    model: ModelConfig, layout: ParallelConfig, padded_vocab: int, stage: int
) -> int:
    """The number of weights on one GPU of pipeline stage `stage`."""
    cut, whole = model.layer_parameters()
    count = layout.stage_layers(model.layers, stage) * (cut // layout.tp + whole)
    count += stage_experts(model, layout, stage)
    embedding = padded_vocab // layout.tp * model.hidden
    last = stage == layout.pp - 1
    if stage == 0:
        count += embedding
    if last:
        count += model.hidden * (2 if model.form.layer_norm else 1)
        # A tied output layer on another stage is a copy of the embedding.
        if not model.tie_embeddings or layout.pp > 1:
            count += embedding
    return count


def telling_stages(layout: ParallelConfig) -> list[int]:
    """One stage of each kind: the first, one between, and the last."""
    return sorted({0, min(1, layout.pp - 1), layout.pp - 1})


def layer_activations(model: ModelConfig, layout: ParallelConfig, width: int, fused: bool) -> float:
    """Bytes that one layer keeps for the backward pass, for each token.

    The tokens are those of a micro-batch on one context-parallel process; width is the bytes of a
    value. Source: Korthikanti et al. (arXiv 2205.05198 Sec 4), with grouped queries, SwiGLU and no
    dropout. A layer keeps, with q the width of its query heads and k that of its key heads:

        4 h      inputs and outputs of both norms, cut over tp under sequence parallelism
        q + 2 k  query, key and value, cut over tp
        q + k    query and key before they are normalised, where they are; cut over tp
        q        the attention's output, cut over tp
        3 f      the gated pair and its product, cut over tp; 2 f where nothing is gated

    Without Transformer Engine (fused=False) our layers on a CPU keep in addition:

        q            the attention's output a second time
        f            silu(gate)
        q + k        where query and key are normalised: the storage that they share with the
                     value, and the query's own (q) where heads share a key

    With experts, f is that of all experts that a token takes, and for each of them there are 2 h
    more: what it reads and what it gives. Tokens are taken to be spread evenly over the experts.
    """
    q, f = model.query_width, model.ffn
    # Where there are fewer key heads than processes, each holds a whole one.
    k = max(model.key_width, model.head_size * layout.tp)
    if model.form.experts:
        f *= model.experts.top_k
    gated = model.form.gated
    cut = layout.tp if layout.sequence_parallel else 1
    norms = 2 * _norm(model, layout, width)
    inner = (2 * q + 2 * k + (3 if gated else 2) * f) / layout.tp
    if model.form.qk_norm != "none":
        inner += (q + k) / layout.tp
    if model.form.experts:
        inner += 2 * model.experts.top_k * model.hidden / layout.tp
    statistics = 4 * model.heads / layout.tp + 8 / cut
    if not fused:
        inner += (q + (f if gated else 0)) / layout.tp
        if model.form.qk_norm != "none":
            inner += (k + (q if model.heads > model.kv_heads else 0)) / layout.tp
    return norms + inner * width + statistics


def _norm(model: ModelConfig, layout: ParallelConfig, width: int) -> float:
    """Bytes of the input and the output of one norm for each token."""
    return 2 * width * model.hidden / (layout.tp if layout.sequence_parallel else 1)


def memory(work: Workload, stage: int) -> Memory:
    """Bytes on one GPU of pipeline stage `stage`.

    Gradients and Adam's two moments are fp32. Muon has one for the matrices of the layers. Under
    bf16 there are fp32 master weights as well.
    """
    model, layout, width = work.model, work.layout, work.width
    parameters = stage_parameters(model, layout, work.padded_vocab, stage)
    states = 8 + (4 if work.dtype != "fp32" else 0)
    one_moment = 0
    if work.muon:
        layers = layout.stage_layers(model.layers, stage)
        one_moment = layers * model.layer_matrices() // layout.tp
    tokens = work.batch.micro * model.seq_length / layout.cp
    logits = 0.0
    activations = _stage_activations(work, stage)
    if stage == layout.pp - 1:
        activations += tokens * _norm(model, layout, width)
        # The logits in the weights' type, their fp32 copy, and the gradient of one of them.
        logits = tokens * work.padded_vocab / layout.tp * (4 + (width if width < 4 else 0) + 4)
    return Memory(
        weights=parameters * width,
        gradients=parameters * 4,
        optimizer=updated_parameters(work, stage) * states - 4 * one_moment / _optimizer_cut(work),
        activations=activations,
        logits=logits,
    )


def _stage_activations(work: Workload, stage: int) -> float:
    """Bytes that a stage's layers keep for all micro-batches that are under way."""
    model, layout, width = work.model, work.layout, work.width
    tokens = work.batch.micro * model.seq_length / layout.cp
    whole = layer_activations(model, layout, width, work.fused)
    attention = _attention(model, layout, width, work.fused)
    entry = model.hidden / (layout.tp if layout.sequence_parallel else 1) * width
    kept = {"none": whole, "selective": whole - attention, "full": entry}
    in_flight = min(layout.pp - stage, work.micro_batches)
    # The warm-up of an interleaved pipeline is longer (Narayanan et al., arXiv 2104.04473 Sec 2.2).
    if layout.vpp > 1:
        in_flight = min(
            layout.pp * (1 + (layout.pp - 1) / (layout.pp * layout.vpp)), work.micro_batches
        )
    layers = layout.stage_layers(model.layers, stage)
    activations = tokens * layers * kept[layout.recompute] * in_flight
    # Full recomputation holds the activations of the one layer that is recomputed.
    if layout.recompute == "full":
        activations += tokens * whole
    return activations


def _attention(model: ModelConfig, layout: ParallelConfig, width: int, fused: bool) -> float:
    """Bytes that selective recomputation lets go in one layer, for each token.

    These are the attention's statistics. Without Transformer Engine the first copy of its output
    and its own copy of the value go as well. The value itself then keeps the storage that it shares
    with query and key, which is new where these are not normalised.
    """
    statistics = 4 * model.heads / layout.tp
    if fused:
        return statistics
    q, k = model.query_width, model.key_width
    shared = q + 2 * k if model.form.qk_norm == "none" else 0
    return statistics + (q + k - shared) / layout.tp * width


def _optimizer_cut(work: Workload) -> int:
    """Over how many processes the optimizer's state of all but experts is cut."""
    return work.dp * work.layout.cp if work.layout.distributed_optimizer else 1


def updated_parameters(work: Workload, stage: int) -> float:
    """The number of weights whose optimizer state one GPU of pipeline stage `stage` holds."""
    experts = stage_experts(work.model, work.layout, stage)
    others = stage_parameters(work.model, work.layout, work.padded_vocab, stage) - experts
    if not work.layout.distributed_optimizer:
        return others + experts
    return others / _optimizer_cut(work) + experts / _expert_replicas(work)


def _expert_replicas(work: Workload) -> int:
    """How many processes of a stage hold the same experts."""
    return work.gpus // (work.layout.pp * work.layout.ep)


def flops_per_token(model: ModelConfig, vocab: int) -> tuple[float, float]:
    """(matrix products, attention) of forward and backward pass for one token.

    A weight counts 6 operations, attention 12 L q s / 2 under a causal mask. Windows are counted as
    full attention, and of the experts those that a token takes.
    """
    matrices = model.parameters(vocab, active=True) - vocab * model.hidden * (
        0 if model.tie_embeddings else 1
    )
    return 6.0 * matrices, 6.0 * model.layers * model.query_width * model.seq_length


def bubble(layout: ParallelConfig, micro_batches: int) -> float:
    """The idle share of a step: (pp - 1) / (vpp * m + pp - 1), for stages of equal work.

    Source: Narayanan et al. (arXiv 2104.04473 Sec 2.2).
    """
    return (layout.pp - 1) / (layout.vpp * micro_batches + layout.pp - 1)


def traffic(work: Workload) -> Traffic:
    """Bytes that one GPU of the first stage sends in one step.

    A ring all-reduce of n bytes over p processes sends 2 n (p - 1) / p.
    """
    model, layout, width = work.model, work.layout, work.width
    tp, cp = layout.tp, layout.cp
    layers = layout.stage_layers(model.layers, 0)
    sequences = work.batch.micro * model.seq_length
    hidden = sequences / cp * model.hidden * width
    again = 1 if layout.recompute == "full" else 0
    # Two reductions in the forward and two in the backward pass. Sequence parallelism gathers the
    # inputs once more.
    reductions = 4 + 2 * again + (1 if layout.sequence_parallel else 0)
    # Experts are not cut, so only attention reduces.
    if model.form.experts:
        reductions /= 2
    tensor = work.micro_batches * layers * reductions * 2 * hidden * (tp - 1) / tp
    # Each token goes to its experts and comes back, in the forward and in the backward pass.
    expert = (
        work.micro_batches
        * layers
        * (4 + 2 * again)
        * (hidden / tp * model.experts.top_k)
        * (layout.ep - 1)
        / layout.ep
    )
    boundary = hidden / (tp if layout.sequence_parallel else 1)
    pipeline = work.micro_batches * 2 * boundary * layout.vpp if layout.pp > 1 else 0.0
    keys = 2 * max(model.key_width / tp, model.head_size) * sequences * width
    context = work.micro_batches * layers * (2 + again) * keys * (cp - 1) / cp
    replicas = work.dp * cp
    experts = stage_experts(model, layout, 0)
    others = stage_parameters(model, layout, work.padded_vocab, 0) - experts
    gathered = width if layout.distributed_optimizer else 4
    same = _expert_replicas(work)
    shares = others * (replicas - 1) / replicas + experts * (same - 1) / same
    return Traffic(tensor, pipeline, context, shares * (4 + gathered), expert)
