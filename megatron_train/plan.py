"""What a run will need and cost, before a GPU is rented: memory by part, bubble, traffic, speed,
hours; and layouts that fit.

    python -m megatron_train plan --config conf/pretrain/seed_coder_8b.yaml --gpus 512 --gpu h100 --vocab 155136
    python -m megatron_train plan ... --rank 511      # build that process's part of the model, without memory, and count it

The figures are arithmetic on stated assumptions (costs.py), not measurements: docs/pretrain.md
shows how far they are from measured allocations and from published speeds. --vocab is read from
output/tokens where that exists.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

from conf.errors import SeedbedError
from conf.loader import cli_parser, load, to_yaml
from conf.schema.pretrain import BatchConfig, ParallelConfig, PretrainConfig, check_world
from megatron_train.data.manifest import read_manifest
from megatron_train.model.gpt import padded_vocab
from megatron_train.parallel import costs

SUGGESTIONS = 8


def main(argv: list[str]) -> int:
    parser = cli_parser("megatron_train plan", __doc__)
    parser.add_argument("--gpus", type=int, required=True, help="how many, in all")
    parser.add_argument("--gpu", choices=sorted(costs.GPUS), default="h100")
    parser.add_argument(
        "--vocab",
        type=int,
        help="size of the vocabulary (default: the tokenizer's of output/tokens)",
    )
    parser.add_argument(
        "--price", type=float, help="dollars a GPU and hour (default: an assumption)"
    )
    parser.add_argument(
        "--rank", type=int, help="build this process's part of the model on the meta device"
    )
    args = parser.parse_args(argv)
    cfg = load(PretrainConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    dp = check_world(cfg.parallel, cfg.batch, args.gpus)
    vocab = args.vocab or _vocabulary(cfg)
    gpu = costs.GPUS[args.gpu]
    if args.price:
        gpu = replace(gpu, dollars=args.price)
    print(report(cfg, args.gpus, dp, vocab, args.gpu, gpu))
    print(suggestions(cfg, args.gpus, vocab, gpu))
    if args.rank is not None:
        print(rank_report(cfg, args.gpus, args.rank, vocab))
    return 0


def report(cfg: PretrainConfig, gpus: int, dp: int, vocab: int, name: str, gpu: costs.Gpu) -> str:
    m, p = cfg.model, cfg.parallel
    padded = padded_vocab(vocab)
    number = cfg.batch.total // (cfg.batch.micro * dp)
    lines = [
        f"{m.parameters(vocab) / 1e9:.3f}B parameters on {gpus} x {name}: {p.describe(dp)}, {cfg.dtype}"
        + (f" with fp8 {cfg.fp8.format} {cfg.fp8.recipe}" if cfg.fp8.on else ""),
        f"{cfg.batch.total * m.seq_length:,} tokens a step, {number} micro-batches of {cfg.batch.micro} a replica",
        "",
        "GiB of one GPU     weights gradients optimizer activations logits   total",
    ]
    for stage in sorted({0, p.pp - 1}):
        part = costs.memory(m, p, cfg.batch.micro, number, dp, padded, cfg.dtype, stage)
        values = (
            part.weights,
            part.gradients,
            part.optimizer,
            part.activations,
            part.logits,
            part.total,
        )
        gib = [value / 2**30 for value in values]
        lines.append(
            f"pipeline stage {stage:<3} {gib[0]:8.2f} {gib[1]:9.2f} {gib[2]:9.2f} {gib[3]:11.2f} {gib[4]:6.2f} {gib[5]:7.2f}"
            + ("" if part.total <= costs.USABLE_MEMORY * gpu.memory else "   does NOT fit")
        )
    sent = costs.traffic(m, p, cfg.batch.micro, number, dp, padded, cfg.dtype)
    fast = costs.speed(m, p, cfg.batch, gpus, padded, cfg.dtype, cfg.fp8.on, gpu)
    hours = cfg.schedule.steps * fast.step_seconds / 3600
    lines += [
        "",
        f"bubble {costs.bubble(p, number):.1%} of a step; GB sent a step and GPU: tensor {sent.tensor / 1e9:.2f}, pipeline "
        f"{sent.pipeline / 1e9:.2f}, context {sent.context / 1e9:.2f}, data {sent.data / 1e9:.2f}",
        f"step {fast.step_seconds:.3f} s: "
        + ", ".join(
            f"{part} {seconds / fast.step_seconds:.0%}"
            for part, seconds in fast.parts.items()
            if seconds
        ),
        f"{fast.tokens_per_gpu:,.0f} tokens/s a GPU, {fast.model_flops_per_gpu / 1e12:,.0f} model TFLOP/s "
        f"({fast.model_flops_per_gpu / gpu.bf16:.0%} of the bf16 peak)",
        f"{cfg.schedule.steps:,} steps: {hours:,.1f} hours, {hours * gpus:,.0f} GPU-hours, "
        f"${hours * gpus * gpu.dollars:,.0f} at ${gpu.dollars:.2f} (no failures, no saving, no evaluation)",
        f"assumed: matrix products at {costs.MATMUL_EFFICIENCY['fp8' if cfg.fp8.on else 'bf16']:.0%} of the peak, "
        f"attention at {costs.ATTENTION_EFFICIENCY:.0%} of bf16, links at {costs.LINK_EFFICIENCY:.0%}, {costs.NODE} GPUs a node, "
        f"Transformer Engine's layers, {1 - costs.USABLE_MEMORY:.0%} of the memory kept free",
    ]
    return "\n".join(lines)


def suggestions(cfg: PretrainConfig, gpus: int, vocab: int, gpu: costs.Gpu) -> str:
    """The fastest layouts that fit, with the same batch.total."""
    padded = padded_vocab(vocab)
    found = []
    for layout, micro in candidates(cfg, gpus):
        batch = BatchConfig(micro, cfg.batch.total)
        if padded % layout.tp or not costs.fits(
            cfg.model, layout, batch, gpus, padded, cfg.dtype, gpu
        ):
            continue
        fast = costs.speed(cfg.model, layout, batch, gpus, padded, cfg.dtype, cfg.fp8.on, gpu)
        found.append((-fast.tokens_per_gpu, layout.tp * layout.pp * layout.cp, layout, micro))
    if not found:
        return "\nno layout fits: use more GPUs, a shorter sequence or GPUs with more memory"
    found.sort(key=lambda one: one[:2])
    lines = ["", f"layouts that fit, fastest first (of {len(found)}):"]
    for slower, size, layout, micro in found[:SUGGESTIONS]:
        lines.append(
            f"{-slower:8,.0f} tokens/s a GPU  micro {micro}  {layout.describe(gpus // size)}"
        )
    return "\n".join(lines)


def candidates(cfg: PretrainConfig, gpus: int) -> list[tuple[ParallelConfig, int]]:
    """Every (layout, micro-batch) that divides, with powers of two."""
    sizes = [1, 2, 4, 8, 16]
    out = []
    for tp, pp, vpp, cp, recompute, micro in itertools.product(
        sizes[:4], sizes, (1, 2, 4), sizes, ("none", "selective", "full"), (1, 2, 4)
    ):
        layout = ParallelConfig(
            tp, pp, vpp, cp, tp > 1, distributed_optimizer=True, overlap=True, recompute=recompute
        )
        try:
            layout.check(cfg.model)
            check_world(layout, BatchConfig(micro, cfg.batch.total), gpus)
        except SeedbedError:
            continue
        out.append((layout, micro))
    return out


def rank_report(cfg: PretrainConfig, gpus: int, rank: int, vocab: int) -> str:
    """Builds process `rank`'s chunks without memory or other processes, and compares their weights
    with the arithmetic.
    """
    from megatron.core import parallel_state

    from megatron_train.model.gpt import build_chunks, transformer_config
    from megatron_train.parallel import processes
    from megatron_train.training.step import BF16

    if not 0 <= rank < gpus:
        raise SeedbedError(f"--rank {rank} of {gpus} processes", f"give 0 to {gpus - 1}")
    processes.pretend(cfg.parallel, rank, gpus)
    stage = parallel_state.get_pipeline_model_parallel_rank()
    chunks = build_chunks(
        transformer_config(cfg.model, cfg.parallel, cfg.dtype, BF16), cfg.model, vocab, BF16, "meta"
    )
    count = sum(parameter.numel() for chunk in chunks for parameter in chunk.parameters())
    wanted = costs.stage_parameters(cfg.model, cfg.parallel, padded_vocab(vocab), stage)
    place = {
        "tp": parallel_state.get_tensor_model_parallel_rank(),
        "pp": stage,
        "cp": parallel_state.get_context_parallel_rank(),
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
