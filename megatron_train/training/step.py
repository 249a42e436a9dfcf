"""A training state and one optimizer step of it, for any loss and any layout.

Pretraining, SFT, DPO and GRPO differ only in the loss that they hand to `train_step`: a function
from log p(labels[t] | tokens[..t]) to sums over tokens (losses.py).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state, tensor_parallel
from megatron.core.distributed import (
    DistributedDataParallel,
    DistributedDataParallelConfig,
    finalize_model_grads,
)

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig, ParallelConfig
from conf.schema.lora import LoraConfig
from conf.schema.pretrain import OptimConfig, PretrainConfig, check_optimizer
from megatron_train.fp8.policy import NoFp8, policy_of
from megatron_train.model import lora as low_rank
from megatron_train.model import weights
from megatron_train.model.gpt import build_chunks, transformer_config
from megatron_train.parallel import context_parallel, processes
from megatron_train.training import muon, mup
from megatron_train.training.forward_backward import means, run
from megatron_train.training.losses import Batch, LossFunction, Sums
from megatron_train.training.optimizer import NotFinite, build_optimizer, set_rates
from megatron_train.training.state import BadStep, Reduction, StepResult, TrainState


def build(
    model: ModelConfig,
    vocab_size: int,
    layout: ParallelConfig,
    optim: OptimConfig,
    dtype: str,
    seed: int,
) -> TrainState:
    """A freshly initialised state without FP8. `processes.start` must have been called.

    Raises:
        SeedbedError: where the model cannot be cut as asked.
    """
    cfg = PretrainConfig(model=model, parallel=layout, optim=optim, dtype=dtype, seed=seed)
    return build_from(cfg, vocab_size)


def build_from(cfg: PretrainConfig, vocab_size: int, lora: LoraConfig | None = None) -> TrainState:
    """A freshly initialised state of a pretraining config. `processes.start` comes before it.

    lora: where its rank is above 0, only adapters learn, and the layers are megatron-core's own.

    Raises:
        SeedbedError: where the model cannot be cut as asked, or the device has no such FP8.
    """
    cfg.model.check()
    cfg.parallel.check(cfg.model)
    cfg.fp8.check(cfg.model, cfg.dtype)
    fp8 = policy_of(cfg.fp8)
    lora = lora if lora is not None and lora.rank else None
    check_optimizer(cfg.optim, cfg.parallel)
    cfg.mup.check(cfg.model, cfg.optim.name)
    if lora is not None and cfg.optim.name == "muon":
        raise SeedbedError(
            "optim.name=muon has no rule for adapters", "set optim.name=adamw or lora.rank=0"
        )
    if lora is not None:
        # Transformer Engine's layers fold a norm in, whose output an adapter would need.
        fp8.transformer_engine = False
    for has, what in (
        (cfg.model.form.post_norm, "norms behind its layers"),
        (cfg.model.form.experts, "experts"),
    ):
        if has:
            _without_transformer_engine(cfg, fp8, lora, what)
    config = transformer_config(cfg.model, cfg.parallel, cfg.dtype, fp8)
    chunks = build_chunks(config, cfg.model, vocab_size, fp8)
    if lora is not None:
        low_rank.install(chunks, lora, cfg.seed)
    for chunk in chunks:
        for parameter in chunk.parameters():
            tensor_parallel.set_defaults_if_not_set_tensor_model_parallel_attributes(parameter)
    width = cfg.mup.width(cfg.model)
    weights.initialize(chunks, cfg.model, cfg.seed, lambda name: mup.deviation(name, width))
    overlap, distributed = cfg.parallel.overlap, cfg.parallel.distributed_optimizer
    ddp = DistributedDataParallelConfig(
        grad_reduce_in_fp32=True,
        use_distributed_optimizer=distributed,
        overlap_grad_reduce=overlap,
        overlap_param_gather=overlap and distributed,
    )
    chunks = [DistributedDataParallel(config, ddp, chunk) for chunk in chunks]
    # The schedule holds reductions back until a chunk's last micro-batch.
    if overlap:
        config.no_sync_func = _bound(chunks, "no_sync")
        config.grad_sync_func = _bound(chunks, "start_grad_sync") if cfg.parallel.pp > 1 else None
    optimizer = build_optimizer(chunks, cfg.optim, cfg.parallel, cfg.dtype, width)
    if cfg.optim.name == "muon":
        muon.install(optimizer, chunks, cfg.model, cfg.optim.muon)
    reduction = Reduction()
    config.finalize_model_grads_func = _timed(finalize_model_grads, reduction)
    config.grad_scale_func = optimizer.scale_loss
    return TrainState(
        model=cfg.model,
        vocab_size=vocab_size,
        layout=cfg.parallel,
        optim=cfg.optim,
        dtype=cfg.dtype,
        seed=cfg.seed,
        fp8=fp8,
        lora=lora,
        config=config,
        chunks=chunks,
        optimizer=optimizer,
        width=width,
        reduction=reduction,
    )


def _without_transformer_engine(
    cfg: PretrainConfig, fp8: NoFp8, lora: LoraConfig | None, what: str
) -> None:
    """Forms of a layer that are tried with torch's own layers alone."""
    if cfg.fp8.on or lora is not None:
        raise SeedbedError(
            f"model.family={cfg.model.family} has {what}: "
            f"{'adapters' if lora is not None else 'fp8'} cannot be had with them",
            "set lora.rank=0" if lora is not None else "set fp8.format=none",
        )
    fp8.transformer_engine = False


def train_step(
    state: TrainState,
    micro_batches: Sequence[Batch],
    loss_fn: LossFunction,
    lr: float,
    temperature: float = 1.0,
    limit: float = math.inf,
) -> StepResult:
    """Forward, backward, clipping and Adam over the micro-batches of all processes; collective.

    micro_batches: this process's share, of one shape where the model has pipeline stages. The
    processes of a data-parallel replica get the same ones, and every replica gets the same number.
    temperature divides the logits. The gradient is that of sum(loss) / sum(counted tokens) over the
    whole step.

    Raises:
        BadStep: on every process, when loss or gradient is not finite or the loss is above `limit`.
            The step has then changed nothing.
    """
    loss, tokens, metrics = step_gradients(state, micro_batches, loss_fn, temperature)
    if not math.isfinite(loss):
        raise BadStep("loss", loss, state.step)
    if loss > limit:
        raise BadStep(f"loss (limit {limit:.4f})", loss, state.step, is_spike=True)
    set_rates(state.optimizer, lr, state.optim.weight_decay)
    try:
        _, grad_norm, _ = state.optimizer.step()
    except NotFinite as error:
        raise BadStep("gradient norm", error.norm, state.step) from None
    state.fp8.end_step()
    state.step += 1
    return StepResult(loss, tokens, float(grad_norm), metrics)


def step_gradients(
    state: TrainState,
    micro_batches: Sequence[Batch],
    loss_fn: LossFunction,
    temperature: float = 1.0,
) -> tuple[float, int, dict[str, float]]:
    """The first half of train_step: (mean loss, tokens, mean metrics); collective.

    It leaves the step's gradient in every parameter's main_grad. Under the distributed optimizer,
    only this process's slice of main_grad is complete.
    """
    processes.seed_step(state.seed, state.step)
    state.fp8.begin_step()
    for chunk in state.chunks:
        chunk.zero_grad_buffer()
    state.optimizer.zero_grad()
    return means(run(state, micro_batches, loss_fn, temperature))


def gradients(state: TrainState, micro_batches: Sequence[Batch], loss_fn: LossFunction) -> None:
    """The gradient of the summed loss of this process's micro-batches, in every main_grad.

    It is neither divided by tokens nor reduced over the data-parallel processes. The rules for
    micro_batches are those of train_step.
    """
    processes.seed_step(state.seed, state.step)
    finalize = state.config.finalize_model_grads_func
    with contextlib.ExitStack() as unsynced:
        for chunk in state.chunks:
            chunk.zero_grad_buffer()
            unsynced.enter_context(chunk.no_sync())
        try:
            state.config.finalize_model_grads_func = None
            run(state, micro_batches, loss_fn)
        finally:
            state.config.finalize_model_grads_func = finalize


@torch.no_grad()
def eval_loss(
    state: TrainState, micro_batches: Sequence[Batch], loss_fn: LossFunction
) -> StepResult:
    """The loss without a step; collective. The rules for micro_batches are those of train_step."""
    loss, tokens, metrics = means(run(state, micro_batches, loss_fn, forward_only=True))
    return StepResult(loss, tokens, 0.0, metrics)


@torch.no_grad()
def token_logprobs(
    state: TrainState, micro_batches: Sequence[Batch], temperature: float = 1.0
) -> list[torch.Tensor]:
    """log p(labels[t] | tokens[..t]), fp32 [b, s] for each micro-batch; collective.

    A batch with a loss_mask gets them where it is not 0, and 0 elsewhere. Every process of the
    data-parallel replica gets them.
    """

    def keep(logprobs: torch.Tensor, _: Batch) -> Sums:
        return logprobs.sum(), torch.tensor(0, dtype=torch.int), {"logprobs": logprobs.detach()}

    kept = [
        sums["logprobs"] for sums in run(state, micro_batches, keep, temperature, forward_only=True)
    ]
    # Earlier pipeline stages have computed none, and receive them from the last stage.
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


def _timed(finalize: Callable[..., None], reduction: Reduction) -> Callable[..., None]:
    def timed(*args: Any, **kwargs: Any) -> None:
        if reduction.exact and torch.cuda.is_available():
            torch.cuda.synchronize()
        reduction.began = time.perf_counter()
        finalize(*args, **kwargs)

    return timed


def _bound(chunks: list[torch.nn.Module], method: str) -> Any:
    """A method bound to the only chunk, or a list of them for an interleaved pipeline.

    megatron-core's schedules want it so.
    """
    bound = [getattr(chunk, method) for chunk in chunks]
    return bound[0] if len(bound) == 1 else bound
