"""What a run will need and cost, before a GPU is rented, and layouts that fit.

    python -m megatron_train plan --config conf/pretrain/seed_coder_8b.yaml --gpus 512 --gpu h100 \\
        --vocab 155136
    python -m megatron_train plan --config FILE --gpus 512 --rank 511

It prints memory by part, bubble, traffic, speed and hours. The figures are arithmetic on stated
assumptions (parallel/costs.py and speed.py), not measurements; docs/pretrain.md shows how far they
are from measured allocations and from published speeds. --vocab is read from output/tokens where
that exists. --rank builds the part of the model that this process would hold, without memory, and
counts it. Each flag may also be given as key=value: gpus=512.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

from conf.errors import SeedbedError
from conf.flags import parse_flags
from conf.loader import cli_parser, load, to_yaml
from conf.schema.layout import BatchConfig, ParallelConfig
from conf.schema.pretrain import PretrainConfig, check_world
from conf.schema.ranges import AmountAboveNone, Count, CountOrNone, Few, check_number
from megatron_train.data.manifest import read_manifest
from megatron_train.model.gpt import padded_vocab
from megatron_train.parallel import costs, speed
from megatron_train.parallel.costs import Workload
from megatron_train.parallel.speed import Gpu

# Layouts that are printed.
SUGGESTIONS = 8


def main(argv: list[str]) -> int:
    parser = cli_parser("megatron_train plan", __doc__)
    parser.add_argument("--gpus", type=int, required=True, help="how many, in all")
    parser.add_argument("--gpu", choices=sorted(speed.GPUS), default="h100")
    parser.add_argument(
        "--vocab",
        type=int,
        help="size of the vocabulary (default: the tokenizer's of output/tokens)",
    )
    parser.add_argument(
        "--price", type=float, help="dollars for one GPU and hour (default: an assumption)"
    )
    parser.add_argument(
        "--rank", type=int, help="build this process's part of the model on the meta device"
    )
    args = parse_flags(parser, argv)
    cfg = load(PretrainConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    _check_flags(args)
    check_world(cfg.parallel, cfg.batch, args.gpus)
    vocab = _vocabulary(cfg) if args.vocab is None else args.vocab
    gpu = speed.GPUS[args.gpu]
    if args.price is not None:
        gpu = replace(gpu, dollars=args.price)
    print(report(cfg, args.gpus, vocab, args.gpu, gpu))
    print(suggestions(cfg, args.gpus, vocab, gpu))
    if args.rank is not None:
        print(rank_report(cfg, args.gpus, args.rank, vocab))
    return 0


def _check_flags(args: argparse.Namespace) -> None:
    ranges = {"gpus": Few, "vocab": Count, "price": AmountAboveNone, "rank": CountOrNone}
    for name, hint in ranges.items():
        value = getattr(args, name)
        if value is not None:
            check_number(f"--{name}", hint, value)


def report(cfg: PretrainConfig, gpus: int, vocab: int, name: str, gpu: Gpu) -> str:
    """Memory, bubble, traffic, speed and hours of the config's own layout, in words."""
    m, p = cfg.model, cfg.parallel
    work = _workload(cfg, p, cfg.batch, gpus, vocab)
    fp8 = f" with fp8 {cfg.fp8.format} {cfg.fp8.recipe}" if cfg.fp8.on else ""
    active = f" ({m.parameters(vocab, active=True) / 1e9:.3f}B active)" if m.form.experts else ""
    lines = [
        f"{m.parameters(vocab) / 1e9:.3f}B parameters{active} on {gpus} x {name}: "
        f"{p.describe(work.dp)}, {cfg.dtype}{fp8}",
        f"{cfg.batch.total * m.seq_length:,} tokens per step, "
        f"{work.micro_batches} micro-batches of {cfg.batch.micro} per replica",
        "",
        "GiB of one GPU     weights gradients optimizer activations logits   total",
        *(_memory_line(work, stage, gpu) for stage in costs.telling_stages(p)),
        "",
    ]
    sent = costs.traffic(work)
    fast = speed.speed(work, gpu)
    matmul = speed.MATMUL_EFFICIENCY["fp8" if cfg.fp8.on else "bf16"]
    # A smaller batch of a ramp is taken to cost its share of a whole one.
    hours = cfg.batch.samples(cfg.schedule.steps) / cfg.batch.total * fast.step_seconds / 3600
    lines += [
        f"bubble {costs.bubble(p, work.micro_batches):.1%} of a step; GB sent per step and GPU: "
        f"tensor {sent.tensor / 1e9:.2f}, pipeline {sent.pipeline / 1e9:.2f}, "
        f"context {sent.context / 1e9:.2f}, data {sent.data / 1e9:.2f}"
        + (f", expert {sent.expert / 1e9:.2f}" if m.form.experts else ""),
        f"step {fast.step_seconds:.3f} s: "
        + ", ".join(
            f"{part} {seconds / fast.step_seconds:.0%}"
            for part, seconds in fast.parts.items()
            if seconds
        ),
        f"{fast.tokens_per_gpu:,.0f} tokens/s per GPU, "
        f"{fast.model_flops_per_gpu / 1e12:,.0f} model TFLOP/s "
        f"({fast.model_flops_per_gpu / gpu.bf16:.0%} of the bf16 peak)",
        f"{cfg.schedule.steps:,} steps: {hours:,.1f} hours, {hours * gpus:,.0f} GPU-hours, "
        f"${hours * gpus * gpu.dollars:,.0f} at ${gpu.dollars:.2f} "
        "(no failures, no saving, no evaluation)",
        f"assumed: matrix products at {matmul:.0%} of the peak, "
        f"attention at {speed.ATTENTION_EFFICIENCY:.0%} of bf16, "
        f"links at {speed.LINK_EFFICIENCY:.0%}, {speed.NODE} GPUs per node, "
        f"Transformer Engine's layers, {1 - speed.USABLE_MEMORY:.0%} of the memory kept free",
    ]
    return "\n".join(lines)


def _memory_line(work: Workload, stage: int, gpu: Gpu) -> str:
    part = costs.memory(work, stage)
    values = (part.weights, part.gradients, part.optimizer, part.activations, part.logits)
    gib = [value / 2**30 for value in (*values, part.total)]
    fits = part.total <= speed.USABLE_MEMORY * gpu.memory
    return (
        f"pipeline stage {stage:<3} {gib[0]:8.2f} {gib[1]:9.2f} {gib[2]:9.2f} {gib[3]:11.2f} "
        f"{gib[4]:6.2f} {gib[5]:7.2f}" + ("" if fits else "   does NOT fit")
    )


def suggestions(cfg: PretrainConfig, gpus: int, vocab: int, gpu: Gpu) -> str:
    """The fastest layouts that fit, with the same batch.total, in words."""
    found = []
    for layout, micro in candidates(cfg, gpus):
        work = _workload(cfg, layout, BatchConfig(micro, cfg.batch.total), gpus, vocab)
        if work.padded_vocab % layout.tp or not speed.fits(work, gpu):
            continue
        found.append((-speed.speed(work, gpu).tokens_per_gpu, gpus // work.dp, layout, micro))
    if not found:
        return "\nno layout fits: use more GPUs, a shorter sequence or GPUs with more memory"
    found.sort(key=lambda one: one[:2])
    lines = ["", f"layouts that fit, fastest first (of {len(found)}):"]
    for slower, size, layout, micro in found[:SUGGESTIONS]:
        lines.append(
            f"{-slower:8,.0f} tokens/s per GPU  micro {micro}  {layout.describe(gpus // size)}"
        )
    return "\n".join(lines)


def _workload(
    cfg: PretrainConfig, layout: ParallelConfig, batch: BatchConfig, gpus: int, vocab: int
) -> Workload:
    return Workload(
        cfg.model,
        layout,
        batch,
        gpus,
        padded_vocab(vocab),
        cfg.dtype,
        fp8=cfg.fp8.on,
        muon=cfg.optim.name == "muon",
    )


def candidates(cfg: PretrainConfig, gpus: int) -> list[tuple[ParallelConfig, int]]:
    """Every (layout, micro-batch) in powers of two that divides."""
    sizes = [1, 2, 4, 8, 16]
    out = []
    spread = [1, 2, 4, 8, 16, 32, 64] if cfg.model.form.experts else [1]
    for tp, pp, vpp, cp, ep, recompute, micro in itertools.product(
        sizes[:4], sizes, (1, 2, 4), sizes, spread, ("none", "selective", "full"), (1, 2, 4)
    ):
        layout = ParallelConfig(
            tp,
            pp,
            vpp,
            cp,
            ep,
            tp > 1,
            distributed_optimizer=cfg.optim.name != "muon",
            overlap=True,
            recompute=recompute,
        )
        try:
            layout.check(cfg.model)
            check_world(layout, BatchConfig(micro, cfg.batch.total), gpus)
        except SeedbedError:
            continue
        out.append((layout, micro))
    return out


def rank_report(cfg: PretrainConfig, gpus: int, rank: int, vocab: int) -> str:
    """Build process `rank`'s part of the model without memory or other processes, and count it.

    Raises:
        SeedbedError: where the number of weights is not what the arithmetic says.
    """
    from megatron.core import parallel_state

    from megatron_train.fp8.policy import NoFp8
    from megatron_train.model.gpt import build_chunks, transformer_config
    from megatron_train.parallel import processes

    if rank >= gpus:
        raise SeedbedError(f"--rank {rank} of {gpus} processes", f"give 0 to {gpus - 1}")
    processes.pretend(cfg.parallel, rank, gpus)
    stage = parallel_state.get_pipeline_model_parallel_rank()
    # FP8 changes no weight's shape.
    config = transformer_config(cfg.model, cfg.parallel, cfg.dtype, NoFp8())
    chunks = build_chunks(config, cfg.model, vocab, NoFp8(), "meta")
    count = sum(parameter.numel() for chunk in chunks for parameter in chunk.parameters())
    wanted = costs.stage_parameters(cfg.model, cfg.parallel, padded_vocab(vocab), stage)
    place = {
        "tp": parallel_state.get_tensor_model_parallel_rank(),
        "pp": stage,
        "cp": parallel_state.get_context_parallel_rank(),
        "ep": parallel_state.get_expert_model_parallel_rank(),
        "dp": processes.dp_rank(),
    }
    processes.stop()
    if count != wanted:
        raise SeedbedError(
            f"process {rank} holds {count:,} weights; the arithmetic says {wanted:,}", "report this"
        )
    where = ", ".join(f"{name} {number}" for name, number in place.items())
    return (
        f"\nprocess {rank} ({where}) builds: {len(chunks)} chunks, {count:,} weights, as computed"
    )


def _vocabulary(cfg: PretrainConfig) -> int:
    folder = Path(cfg.output) / "tokens"
    if not (folder / "manifest.json").is_file():
        raise SeedbedError(
            f"{folder} holds no tokens, so the vocabulary is unknown",
            "give --vocab N, such as 155136",
        )
    return read_manifest(folder).vocab_size
