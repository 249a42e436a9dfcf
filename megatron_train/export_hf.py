"""DIR/pretrain/checkpoints -> DIR/hf: export a checkpoint as a Hugging Face folder.

    python -m megatron_train.export_hf output=DIR [--step N] [--dtype bf16] [--to FOLDER]
    torchrun --nproc-per-node 8 -m megatron_train.export_hf output=DIR

DIR is the folder of a run, of a stage (RUN/stages/NAME) or of a blend. The settings are those that
the checkpoint records; --config may only say which output. The folder holds the weights in files of
--shard-gb, tokenizer and chat template, generation_config.json, README.md and SHA256SUMS. Several
processes share the files among them. None of them builds the model or reads Adam's state.
pretrain itself exports at its end; this is for another step, another type or another place.
"""

from __future__ import annotations

from pathlib import Path

from conf.errors import SeedbedError
from conf.flags import parse_flags
from conf.loader import cli_parser, load, to_yaml
from conf.schema.layout import ParallelConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train.checkpoint.step_folders import chosen
from megatron_train.export import from_checkpoint
from megatron_train.export.from_checkpoint import described
from megatron_train.parallel import processes


def main(argv: list[str]) -> int:
    parser = cli_parser("megatron_train.export_hf", __doc__)
    parser.add_argument("--step", type=int, default=0, help="0: the newest checkpoint")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), help="that of the run if left out")
    parser.add_argument("--to", metavar="FOLDER", help="DIR/hf if left out")
    parser.add_argument(
        "--shard-gb", type=float, default=2.0, help="size of a file of weights in 10^9 bytes"
    )
    args = parse_flags(parser, argv)
    cfg = load(PretrainConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    if not args.shard_gb > 0 or args.step < 0:
        raise SeedbedError(
            f"step={args.step}, shard_gb={args.shard_gb}",
            "give a step from 1 on, and a size above 0",
        )
    run = Path(cfg.output)
    folder = Path(args.to) if args.to else run / "hf"
    checkpoint = chosen(run / "pretrain" / "checkpoints", args.step)
    source, side, dtype = described(checkpoint, run, args.dtype)
    processes.start(ParallelConfig(), seed=0)
    from_checkpoint.export(source, folder, dtype, side, int(args.shard_gb * 1e9))
    if processes.is_main():
        print(f"{folder}: {checkpoint} in {dtype}, with README.md and SHA256SUMS", flush=True)
    processes.stop()
    return 0


if __name__ == "__main__":
    processes.run_ranks(main)
