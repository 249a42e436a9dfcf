"""One training state and one step of it, for any loss over per-token log-probabilities and any
layout.

Pretraining, SFT and GRPO differ only in the loss they hand to `train_step`: a function from log
p(labels[t] | tokens[..t]) to a sum over tokens. Logits never leave the process that computed their
slice of the vocabulary.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state, tensor_parallel
from megatron.core.distributed import (
    DistributedDataParallel,
    DistributedDataParallelConfig,
    finalize_model_grads,
)
from megatron.core.optimizer import MegatronOptimizer
from megatron.core.pipeline_parallel.schedules import get_forward_backward_func
from megatron.core.transformer.transformer_config import TransformerConfig

from conf.errors import SeedbedError
from conf.schema.pretrain import Fp8Config, ModelConfig, OptimConfig, ParallelConfig
from megatron_train.fp8 import linear
from megatron_train.fp8 import support as fp8_support
from megatron_train.model import weights
from megatron_train.model.gpt import build_chunks, transformer_config
from megatron_train.model.packed_sequences import beginnings, packed
from megatron_train.parallel import context_parallel, processes
from megatron_train.training.optimizer import NotFinite, build_optimizer, set_rates

# One micro-batch of b sequences of s tokens. Required: tokens, labels int64 [b, s] (labels[t]
# follows tokens[t]). Optional: document_ids int [b, s], the same number within a document: no token
# then sees another document. Whatever else is there reaches the loss function; under context
# parallelism, of every [b, s] tensor this process's places alone.
Batch = dict[str, torch.Tensor]

# (log-probabilities fp32 [b, s] with gradient, batch) -> (sum of the loss over the counted tokens,
# how many tokens counted, {name: sum of a metric over the same tokens}). Called on the last
# pipeline stage.
LossFunction = Callable[
    [torch.Tensor, Batch], tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]
]


# no FP8: what post-training builds with
BF16 = Fp8Config()


@dataclass
class Reduction:
    """When this process had the gradients of its last step: what tells a slow process from those
    that wait for it.
    """

    # wait for the GPU before looking at the clock
    exact: bool = False
    # perf_counter
    began: float = 0.0


@dataclass
class TrainState:
    """What a step changes, and what it was built from."""

    model: ModelConfig
    # of the tokenizer; the embedding is padded beyond it
    vocab_size: int
    layout: ParallelConfig
    optim: OptimConfig
    dtype: str
    fp8: Fp8Config
    seed: int
    config: TransformerConfig
    chunks: list[torch.nn.Module]
    optimizer: MegatronOptimizer
    # optimizer steps taken
    step: int = 0
    reduction: Reduction = field(default_factory=Reduction)


class BadStep(SeedbedError):
    """A step that was refused before it changed a weight, on every process alike."""

    def __init__(self, what: str, value: float, step: int, is_spike: bool = False):
        super().__init__(
            f"the {what} at step {step + 1} is {value}",
            "lower optim.lr or lengthen schedule.warmup_steps, then start again: it resumes from the last checkpoint",
        )
        self.value = value
        self.is_spike = is_spike


@dataclass(frozen=True)
class StepResult:
    """The same on every process.

    loss and metrics are means over the counted tokens of the whole step.
    """

    loss: float
    tokens: int
    grad_norm: float
    metrics: dict[str, float]


def build(
    model: ModelConfig,
    vocab_size: int,
    layout: ParallelConfig,
    optim: OptimConfig,
    dtype: str,
    seed: int,
    fp8: Fp8Config = BF16,
) -> TrainState:
    """A freshly initialised state; `parallel.start` came before.

    Raises SeedbedError where the model cannot be cut as asked.
    """
    fp8_support.refuse_unusable(fp8)
    model.check()
    layout.check(model)
    fp8.check(model, dtype)
    config = transformer_config(model, layout, dtype, fp8)
    chunks = build_chunks(config, model, vocab_size, fp8)
    for chunk in chunks:
        for parameter in chunk.parameters():
            tensor_parallel.set_defaults_if_not_set_tensor_model_parallel_attributes(parameter)
    weights.initialize(chunks, model, seed)
    ddp = DistributedDataParallelConfig(
        grad_reduce_in_fp32=True,
        use_distributed_optimizer=layout.distributed_optimizer,
        overlap_grad_reduce=layout.overlap,
        overlap_param_gather=layout.overlap and layout.distributed_optimizer,
    )
    chunks = [DistributedDataParallel(config, ddp, chunk) for chunk in chunks]
    # the schedule holds reductions back until a chunk's last micro-batch
    if layout.overlap:
        config.no_sync_func = _each(chunks, "no_sync")
        config.grad_sync_func = _each(chunks, "start_grad_sync") if layout.pp > 1 else None
    optimizer = build_optimizer(chunks, optim, layout, dtype)
    reduction = Reduction()
    config.finalize_model_grads_func = _timed(finalize_model_grads, reduction)
    config.grad_scale_func = optimizer.scale_loss
    return TrainState(
        model,
        vocab_size,
        layout,
        optim,
        dtype,
        fp8,
        seed,
        config,
        chunks,
        optimizer,
        reduction=reduction,
    )


def train_step(
    state: TrainState,
    micro_batches: Sequence[Batch],
    loss_fn: LossFunction,
    lr: float,
    temperature: float = 1.0,
    limit: float = math.inf,
) -> StepResult:
    """Forward, backward, clip and Adam over all micro-batches of all data-parallel processes;
    collective.

    micro_batches: this process's share, all of one shape; the same for every process of a
    data-parallel replica, and the same number on every replica. temperature divides the logits. The
    gradient is that of sum(loss) / sum(counted tokens) over the whole step. Raises BadStep on every
    process, and changes nothing, when loss or gradient is not finite or the loss is above `limit`.
    """
    loss, tokens, metrics = step_gradients(state, micro_batches, loss_fn, temperature)
    if not math.isfinite(loss) or loss > limit:
        linear.forget_step(state.chunks)
        spike = f"loss (limit {limit:.4f})"
        raise BadStep(
            spike if math.isfinite(loss) else "loss", loss, state.step, is_spike=math.isfinite(loss)
        )
    set_rates(state.optimizer, lr, state.optim.weight_decay)
    try:
        _, grad_norm, _ = state.optimizer.step()
    except NotFinite as error:
        linear.forget_step(state.chunks)
        raise BadStep("gradient norm", error.norm, state.step) from None
    linear.end_step(state.chunks)
    state.step += 1
    return StepResult(loss, tokens, float(grad_norm), metrics)


def step_gradients(
    state: TrainState,
    micro_batches: Sequence[Batch],
    loss_fn: LossFunction,
    temperature: float = 1.0,
) -> tuple[float, int, dict[str, float]]:
    """train_step's first half: the step's gradient in every parameter's main_grad (under the
    distributed optimizer, in the slice of this process), and (mean loss, tokens, mean metrics);
    collective.
    """
    processes.seed_step(state.seed, state.step)
    for chunk in state.chunks:
        chunk.zero_grad_buffer()
    state.optimizer.zero_grad()
    return _mean(_run(state, micro_batches, loss_fn, temperature, forward_only=False))


def gradients(state: TrainState, micro_batches: Sequence[Batch], loss_fn: LossFunction) -> None:
    """Leave in every parameter's main_grad the gradient of the summed loss of this process's
    micro-batches, as it is: not divided by tokens, not reduced over the data-parallel processes.
    Same rules for micro_batches as train_step.
    """
    processes.seed_step(state.seed, state.step)
    finalize = state.config.finalize_model_grads_func
    with contextlib.ExitStack() as unsynced:
        for chunk in state.chunks:
            chunk.zero_grad_buffer()
            unsynced.enter_context(chunk.no_sync())
        try:
            state.config.finalize_model_grads_func = None
            _run(state, micro_batches, loss_fn, 1.0, forward_only=False)
        finally:
            state.config.finalize_model_grads_func = finalize


@torch.no_grad()
def eval_loss(
    state: TrainState, micro_batches: Sequence[Batch], loss_fn: LossFunction
) -> StepResult:
    """The loss without a step; collective. Same rules for micro_batches as train_step."""
    loss, tokens, metrics = _mean(_run(state, micro_batches, loss_fn, 1.0, forward_only=True))
    return StepResult(loss, tokens, 0.0, metrics)


@torch.no_grad()
def token_logprobs(
    state: TrainState, micro_batches: Sequence[Batch], temperature: float = 1.0
) -> list[torch.Tensor]:
    """log p(labels[t] | tokens[..t]), fp32 [b, s] for each micro-batch, on every process of the
    replica; collective.
    """

    def keep(
        logprobs: torch.Tensor, _: Batch
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        return logprobs.sum(), torch.tensor(0, dtype=torch.int), {"logprobs": logprobs.detach()}

    kept = [
        sums["logprobs"]
        for sums in _run(state, micro_batches, keep, temperature, forward_only=True)
    ]
    # an earlier pipeline stage
    if not kept:
        kept = [
            torch.empty(
                context_parallel.cut(batch)["labels"].shape,
                dtype=torch.float32,
                device=processes.device(),
            )
            for batch in micro_batches
        ]
    if parallel_state.get_pipeline_model_parallel_world_size() > 1:
        last = parallel_state.get_pipeline_model_parallel_last_rank()
        for logprobs in kept:
            dist.broadcast(logprobs, last, group=parallel_state.get_pipeline_model_parallel_group())
    return [context_parallel.join(logprobs) for logprobs in kept]


def language_model_loss(
    logprobs: torch.Tensor, batch: Batch
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """-log p summed over batch["loss_mask"] [b, s]: pretraining's and SFT's loss."""
    mask = batch["loss_mask"].to(logprobs.dtype)
    return -(logprobs * mask).sum(), mask.sum().to(torch.int), {}


def _timed(finalize: Callable[..., None], reduction: Reduction) -> Callable[..., None]:
    def timed(*args: Any, **kwargs: Any) -> None:
        if reduction.exact and torch.cuda.is_available():
            torch.cuda.synchronize()
        reduction.began = time.perf_counter()
        finalize(*args, **kwargs)

    return timed


def _each(chunks: list[torch.nn.Module], method: str) -> Any:
    """What megatron-core's schedules want of a method: bound to the only chunk, or a list for an
    interleaved pipeline.
    """
    bound = [getattr(chunk, method) for chunk in chunks]
    return bound[0] if len(bound) == 1 else bound


def _run(
    state: TrainState,
    micro_batches: Sequence[Batch],
    loss_fn: LossFunction,
    temperature: float,
    forward_only: bool,
) -> list[dict[str, torch.Tensor]]:
    """megatron-core's schedule over the micro-batches; each one's sums on the last stage, [] on the
    others.
    """
    size, length = micro_batches[0]["tokens"].shape
    multiple = state.layout.sequence_multiple()
    if length % multiple:
        raise SeedbedError(
            f"parallel.cp={state.layout.cp}, parallel.sequence_parallel={str(state.layout.sequence_parallel).lower()} and "
            f"parallel.tp={state.layout.tp} cut every sequence in {multiple}: {length} % {multiple} = {length % multiple}",
            f"pad the micro-batch to a multiple of {multiple}",
        )
    if state.layout.vpp > 1 and len(micro_batches) % state.layout.pp:
        raise SeedbedError(
            f"an interleaved pipeline takes micro-batches in groups of parallel.pp: {len(micro_batches)} % {state.layout.pp} = "
            f"{len(micro_batches) % state.layout.pp}",
            "change the number of micro-batches, or set parallel.vpp=1",
        )
    # Transformer Engine keeps documents apart in rows laid end to end: one long sequence for the
    # schedule.
    packing = "document_ids" in micro_batches[0] and fp8_support.uses_transformer_engine(state.fp8)
    if packing and state.layout.cp > 1:
        raise SeedbedError(
            f"parallel.cp={state.layout.cp} with Transformer Engine cuts every document in {2 * state.layout.cp}, and documents "
            "have any length",
            "leave data.document_mask and packing off, or set parallel.cp=1",
        )

    def forward_step(
        batches: Any, chunk: torch.nn.Module
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], Any]]:
        batch = dict(next(batches))
        ids = batch.pop("document_ids", None)
        starts = None if ids is None else beginnings(ids)
        layout = packed(starts, processes.device()) if packing else None
        batch = {key: value.to(processes.device()) for key, value in batch.items()}
        batch = context_parallel.cut(batch)
        rows = (1, -1) if packing else batch["tokens"].shape
        output = chunk(
            batch["tokens"].reshape(rows),
            # position ids: rotary positions come from the place in the sequence, or in the document
            None,
            # "attention_mask": what our attention takes for it
            None if packing else starts,
            labels=batch["labels"].reshape(rows),
            packed_seq_params=layout,
            output_processor=_logprobs_of_labels,
            output_processor_context=(state.vocab_size, temperature),
        )

        def loss(
            logprobs: torch.Tensor,
        ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
            total, count, sums = loss_fn(logprobs.view(batch["labels"].shape), batch)
            return total, count, {"loss": total.detach(), "tokens": count, **sums}

        return output, loss

    return get_forward_backward_func()(
        forward_step_func=forward_step,
        data_iterator=[iter(micro_batches) for _ in state.chunks],
        model=state.chunks,
        num_microbatches=len(micro_batches),
        seq_length=size * length if packing else length,
        micro_batch_size=1 if packing else size,
        forward_only=forward_only,
    )


def _logprobs_of_labels(
    *,
    hidden_states: torch.Tensor,
    output_layer: Any,
    output_weight: Any,
    labels: torch.Tensor,
    context: tuple[int, float],
    **_: Any,
) -> torch.Tensor:
    """GPTModel's output hook: hidden states [s, b, h] -> log-probabilities of labels, fp32 [b, s],
    reduced over tp.
    """
    vocab_size, temperature = context
    # [s, b, padded vocab / tp]
    logits, _ = output_layer(hidden_states, weight=output_weight)
    logits = logits.float() / temperature if temperature != 1.0 else logits.float()
    mine = logits.size(-1)
    real = vocab_size - parallel_state.get_tensor_model_parallel_rank() * mine
    if real < mine:
        # padding is no token
        logits[..., max(real, 0) :] = torch.finfo(logits.dtype).min
    loss = tensor_parallel.vocab_parallel_cross_entropy(logits, labels.t().contiguous())
    return -loss.t().contiguous()


def _mean(sums: list[dict[str, torch.Tensor]]) -> tuple[float, int, dict[str, float]]:
    """Sums of the last stage's micro-batches -> (mean loss, tokens, mean metrics) on every process."""
    totals: dict[str, float] = {}
    if parallel_state.is_pipeline_last_stage():
        names = sorted(sums[0])
        values = torch.stack([sum(one[name].double() for one in sums) for name in names])  # type: ignore[misc]
        dist.all_reduce(
            values, group=parallel_state.get_data_parallel_group(with_context_parallel=True)
        )
        totals = dict(zip(names, values.tolist(), strict=True))
    if parallel_state.get_pipeline_model_parallel_world_size() > 1:
        box = [totals]
        last = parallel_state.get_pipeline_model_parallel_last_rank()
        dist.broadcast_object_list(
            box, last, group=parallel_state.get_pipeline_model_parallel_group()
        )
        totals = box[0]
    tokens = totals.pop("tokens")
    means = {name: total / max(tokens, 1) for name, total in totals.items()}
    return means.pop("loss"), int(tokens), means
