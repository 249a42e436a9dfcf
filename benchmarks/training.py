"""DIR/tokens -> a table: our training loop, a bare megatron-core loop and Hugging Face Llama.

    python -m benchmarks.training --output runs/demo [--size tiny|small|350m|1b] [--steps 12] \
        [--dtype fp32|bf16]

The three have the same weights, tokens and optimizer. They take turns, step by step, in one
process. On a CPU, one thread works and CPU seconds count: a busy machine slows all of them alike.
On a GPU the wall clock counts, from an idle device to an idle device. Ours does what the entry file
does between two lines on the screen: it reads the micro-batches, takes the step and writes the row.
The bare loop reads the same micro-batches and calls megatron-core alone. Under bf16 Hugging Face is
measured twice: with weights in bf16 alone, and with fp32 weights under autocast. The other two keep
fp32 weights as well.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from conf.schema.batch import RampedBatchConfig
from conf.schema.layout import ModelConfig, ParallelConfig
from conf.schema.pretrain import OptimConfig, PretrainConfig, ScheduleConfig
from megatron_train.checkpoint import hf_export, sharded
from megatron_train.data.blend import Blend, micro_batches, open_blend
from megatron_train.data.manifest import read_sources
from megatron_train.data.segments import Draw
from megatron_train.metrics.logger import TrainLogger
from megatron_train.parallel import processes
from megatron_train.training import step
from megatron_train.training.loss_guard import LossGuard
from megatron_train.training.losses import language_model_loss
from megatron_train.training.state import TrainState
from seedbed.dtypes import torch_dtype

SIZES = {
    "tiny": (
        ModelConfig(layers=4, hidden=128, ffn=352, heads=4, kv_heads=2, seq_length=128),
        RampedBatchConfig(4, 16),
    ),
    "small": (
        ModelConfig(layers=8, hidden=256, ffn=704, heads=8, kv_heads=4, seq_length=512),
        RampedBatchConfig(2, 4),
    ),
    "350m": (
        ModelConfig(layers=24, hidden=1024, ffn=2816, heads=16, kv_heads=8, seq_length=2048),
        RampedBatchConfig(8, 16),
    ),
    "1b": (
        ModelConfig(layers=16, hidden=2048, ffn=8192, heads=32, kv_heads=8, seq_length=4096),
        RampedBatchConfig(2, 4),
    ),
}
RATE = 1e-4
# The first steps fill caches and choose kernels.
WARMUP = 3
Step = Callable[[int], float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", default="runs/demo", help="a run whose tokens are packed")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    args = parser.parse_args()
    model, batch = SIZES[args.size]
    schedule = ScheduleConfig(steps=10**6, warmup_steps=0, decay_steps=0)
    cfg = PretrainConfig(
        output=args.output,
        model=model,
        batch=batch,
        optim=OptimConfig(lr=RATE),
        schedule=schedule,
        dtype=args.dtype,
        log_every=10**9,
    )
    processes.start(cfg.parallel, cfg.seed)
    with tempfile.TemporaryDirectory() as scratch:
        run(cfg, args.steps, Path(scratch))
    processes.stop()


def run(cfg: PretrainConfig, steps: int, scratch: Path) -> None:
    sources = read_sources(cfg.data, Path(cfg.output))
    vocab = next(iter(sources.values())).vocab_size
    data = open_blend(sources, cfg, "train", scratch / "index")
    state = step.build(cfg.model, vocab, cfg.parallel, cfg.optim, cfg.dtype, cfg.seed)
    hf_export.export(state, scratch / "hf")
    loops: dict[str, Step] = {
        "ours": our_loop(cfg, state, data, scratch),
        "bare megatron-core": bare_loop(cfg, vocab, data),
        "HF Llama": hf_loop(cfg, data, scratch / "hf", torch_dtype(cfg.dtype)),
    }
    if cfg.dtype == "bf16":
        loops["HF Llama, autocast"] = hf_loop(cfg, data, scratch / "hf", torch.float32)
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    losses: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(steps + WARMUP):
        for name, take in loops.items():
            began = clock()
            losses[name].append(take(number))
            taken = clock() - began
            if number >= WARMUP:
                seconds[name].append(taken)
    tokens = cfg.batch.total * cfg.model.seq_length
    parameters = cfg.model.parameters(vocab)
    print(
        f"{parameters / 1e6:.1f}M parameters, {tokens} tokens per step, {cfg.dtype}, "
        f"{steps} interleaved steps, {timed_on()}"
    )
    ours = seconds["ours"]
    for name, taken in seconds.items():
        ratio = statistics.median(theirs / mine for theirs, mine in zip(taken, ours, strict=True))
        print(
            f"  {name:20} {tokens / statistics.median(taken):8,.0f} tokens/s  "
            f"{ratio:6.3f} of our time  loss {losses[name][0]:.5f} -> {losses[name][-1]:.5f}"
        )
    waits = [
        timed(lambda n=n: micro_batches(data, n * cfg.batch.total, cfg.batch.total, cfg.batch))
        for n in range(50)
    ]
    share = statistics.median(waits) / statistics.median(ours)
    print(f"  loading a step's data takes {share:.2%} of a step")
    saving = timed(lambda: sharded.save(state, scratch / "checkpoints", {}, keep=1))
    loading = timed(lambda: sharded.load(state, scratch / "checkpoints"))
    size = sum(
        file.stat().st_size for file in (scratch / "checkpoints").rglob("*") if file.is_file()
    )
    print(
        f"  checkpoint of {size / 1e6:.0f} MB: {saving:.2f} s to save, {loading:.2f} s to load "
        "(of this process)"
    )


def timed_on() -> str:
    return (
        f"wall seconds on {torch.cuda.get_device_name()}"
        if torch.cuda.is_available()
        else "CPU seconds"
    )


def clock() -> float:
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def timed(work: Callable[[], object]) -> float:
    began = clock()
    work()
    return clock() - began


def our_loop(cfg: PretrainConfig, state: TrainState, data: Blend, scratch: Path) -> Step:
    log = TrainLogger(cfg, scratch, data, state)
    guard = LossGuard(cfg.guard, [])

    def take(number: int) -> float:
        log.begins()
        batches = micro_batches(data, number * cfg.batch.total, cfg.batch.total, cfg.batch)
        log.data_is_read()
        result = step.train_step(state, batches, language_model_loss, RATE, limit=guard.limit())
        guard.accept(result.loss)
        log.ends()
        first = number * cfg.batch.total
        log.accepted(result, RATE, Draw(first, cfg.batch.total, first + cfg.batch.total))
        processes.any_rank(False)
        return result.loss

    return take


def bare_loop(cfg: PretrainConfig, vocab: int, data: Blend) -> Step:
    """megatron-core's own parts in its own order, on the same model."""
    from megatron.core import tensor_parallel
    from megatron.core.distributed import (
        DistributedDataParallel,
        DistributedDataParallelConfig,
        finalize_model_grads,
    )
    from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
    from megatron.core.pipeline_parallel.schedules import get_forward_backward_func

    from megatron_train.fp8.policy import NoFp8
    from megatron_train.model import weights
    from megatron_train.model.gpt import build_chunks, transformer_config

    config = transformer_config(cfg.model, ParallelConfig(), cfg.dtype, NoFp8())
    [chunk] = build_chunks(config, cfg.model, vocab, NoFp8())
    for parameter in chunk.parameters():
        tensor_parallel.set_defaults_if_not_set_tensor_model_parallel_attributes(parameter)
    weights.initialize([chunk], cfg.model, cfg.seed)
    model = DistributedDataParallel(
        config, DistributedDataParallelConfig(grad_reduce_in_fp32=True), chunk
    )
    optimizer = get_megatron_optimizer(
        OptimizerConfig(
            optimizer="adam",
            lr=RATE,
            weight_decay=cfg.optim.weight_decay,
            adam_beta1=cfg.optim.beta1,
            adam_beta2=cfg.optim.beta2,
            clip_grad=cfg.optim.clip_grad,
            bf16=cfg.dtype == "bf16",
            params_dtype=torch_dtype(cfg.dtype),
        ),
        [model],
    )
    config.finalize_model_grads_func = finalize_model_grads
    config.grad_scale_func = optimizer.scale_loss
    forward_backward = get_forward_backward_func()

    def forward(batches, chunk):
        batch = {name: value.to(processes.device()) for name, value in next(batches).items()}
        losses = chunk(batch["tokens"], None, None, labels=batch["labels"])

        def loss(output):
            mask = batch["loss_mask"]
            total = (output.float() * mask).sum()
            return total, mask.sum().to(torch.int), {"loss": total.detach()}

        return losses, loss

    def take(number: int) -> float:
        batches = micro_batches(data, number * cfg.batch.total, cfg.batch.total, cfg.batch)
        model.zero_grad_buffer()
        optimizer.zero_grad()
        out = forward_backward(
            forward_step_func=forward,
            data_iterator=iter(batches),
            model=model,
            num_microbatches=len(batches),
            seq_length=cfg.model.seq_length,
            micro_batch_size=cfg.batch.micro,
            forward_only=False,
        )
        optimizer.step()
        return sum(one["loss"].item() for one in out) / (cfg.batch.total * cfg.model.seq_length)

    return take


def hf_loop(cfg: PretrainConfig, data: Blend, folder: Path, weights: torch.dtype) -> Step:
    from transformers import LlamaForCausalLM

    device = processes.device()
    model = LlamaForCausalLM.from_pretrained(folder, dtype=weights, attn_implementation="sdpa").to(
        device
    )
    autocast = torch.autocast(
        device.type, torch.bfloat16, enabled=weights != torch_dtype(cfg.dtype)
    )
    model.config.use_cache = False
    model.train()
    norms = [p for p in model.parameters() if p.dim() == 1]
    matrices = [p for p in model.parameters() if p.dim() > 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": cfg.optim.weight_decay},
            {"params": norms, "weight_decay": 0.0},
        ],
        lr=RATE,
        betas=(cfg.optim.beta1, cfg.optim.beta2),
        fused=device.type == "cuda",
    )

    def take(number: int) -> float:
        batches = micro_batches(data, number * cfg.batch.total, cfg.batch.total, cfg.batch)
        optimizer.zero_grad()
        whole = torch.zeros((), device=device)
        for batch in batches:
            with autocast:
                logits = model(input_ids=batch["tokens"].to(device)).logits
            labels = batch["labels"].to(device).flatten()
            loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels) / len(
                batches
            )
            loss.backward()
            whole += loss.detach()
        torch.nn.utils.clip_grad_norm_(model.parameters(), cfg.optim.clip_grad)
        optimizer.step()
        return whole.item()

    return take


if __name__ == "__main__":
    main()
