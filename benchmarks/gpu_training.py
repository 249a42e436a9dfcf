"""A shape -> a table: tokens and model FLOPs in one second of training on GPUs.

    torchrun --nproc-per-node 1 benchmarks/gpu_training.py [--shape 1b|8b-slice] [--micro 2] \
        [--steps 12]

It measures bf16 and every FP8 recipe that the device takes. All variants run one after the other in
one process group, on random tokens, with the real optimizer; the first steps of each are left out.
Where Transformer Engine is installed, its layers are measured beside megatron-core's own.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import statistics
import time
from collections.abc import Iterator
from unittest import mock

import torch

from conf.errors import SeedbedError
from conf.schema.fp8 import Fp8Config
from conf.schema.layout import ModelConfig, ParallelConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train.fp8 import support as fp8_support
from megatron_train.parallel import processes
from megatron_train.training import step
from megatron_train.training.losses import language_model_loss

# Llama-3.2-1B's shape, and four layers of Seed-Coder-8B with its whole vocabulary.
SHAPES = {
    "1b": (
        ModelConfig(layers=16, hidden=2048, ffn=8192, heads=32, kv_heads=8, seq_length=4096),
        32_768,
    ),
    "8b-slice": (
        ModelConfig(layers=4, hidden=4096, ffn=14336, heads=32, kv_heads=8, seq_length=8192),
        155_136,
    ),
}
WARMUP = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="1b")
    parser.add_argument(
        "--micro", type=int, default=2, help="sequences of the one micro-batch of a step"
    )
    parser.add_argument("--steps", type=int, default=12)
    args = parser.parse_args()
    model, vocab_size = SHAPES[args.shape]
    processes.start(ParallelConfig(), seed=1)
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}; "
        f"{args.shape}, {args.micro} x {model.seq_length} tokens"
    )
    flops = flops_per_token(model, vocab_size)
    for name, fp8, with_te in variants():
        try:
            with te_hidden(not with_te):
                seconds, peak = measure(model, vocab_size, fp8, args.micro, args.steps)
        except SeedbedError as error:
            print(f"{name:<28} {error.problem}")
            continue
        rate = args.micro * model.seq_length / seconds
        print(
            f"{name:<28} {rate:>9,.0f} tokens/s  {rate * flops / 1e12:>6.0f} TFLOP/s  "
            f"{peak / 2**30:>5.1f} GiB",
            flush=True,
        )
    processes.stop()


def variants() -> list[tuple[str, Fp8Config, bool]]:
    """(name, recipe, whether the layers are Transformer Engine's)."""
    rows = [("bf16, megatron-core layers", Fp8Config(), False)]
    if fp8_support.have_transformer_engine():
        rows.append(("bf16, Transformer Engine", Fp8Config(), True))
        for recipe in ("delayed", "tensorwise", "blockwise", "mxfp8"):
            fp8_format = "hybrid" if recipe in ("delayed", "tensorwise") else "e4m3"
            rows.append((f"fp8 {recipe}", Fp8Config(format=fp8_format, recipe=recipe), True))
    return rows


def measure(
    model: ModelConfig, vocab_size: int, fp8: Fp8Config, micro: int, steps: int
) -> tuple[float, int]:
    """(median seconds of a step, peak bytes allocated)."""
    torch.cuda.reset_peak_memory_stats()
    state = step.build_from(PretrainConfig(model=model, dtype="bf16", fp8=fp8), vocab_size)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, vocab_size, (micro, model.seq_length + 1), generator=generator)
    batch = {"tokens": ids[:, :-1].contiguous(), "labels": ids[:, 1:].contiguous()}
    batch["loss_mask"] = torch.ones_like(batch["labels"])
    times = []
    for _ in range(steps):
        torch.cuda.synchronize()
        started = time.perf_counter()
        step.train_step(state, [batch], language_model_loss, lr=1e-4)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated()
    del state
    gc.collect()
    torch.cuda.empty_cache()
    return statistics.median(times[WARMUP:]), peak


def flops_per_token(model: ModelConfig, vocab_size: int) -> float:
    """6 for each weight of a matrix, and 6 * layers * hidden * seq_length for causal attention.

    The latter is half of PaLM's figure for full attention (arXiv 2204.02311 App. B).
    """
    matrices = (
        model.hidden * model.hidden * (2 + 2 * model.kv_heads / model.heads)
        + 3 * model.hidden * model.ffn
    )
    parameters = model.layers * matrices + vocab_size * model.hidden
    return 6 * parameters + 6 * model.layers * model.hidden * model.seq_length


@contextlib.contextmanager
def te_hidden(hidden: bool) -> Iterator[None]:
    if not hidden:
        yield
        return
    with mock.patch.object(fp8_support, "have_transformer_engine", return_value=False):
        yield


if __name__ == "__main__":
    main()
