"""DIR/pretrain/checkpoints -> DIR/hf: export the newest checkpoint as a Hugging Face folder.

    python -m megatron_train.export_hf --config conf/pretrain/demo.yaml output=DIR

pretrain itself exports at its end; this is for a run that was stopped earlier.
"""

from __future__ import annotations

from pathlib import Path

from conf.errors import run_cli
from conf.loader import cli_parser, load, to_yaml
from conf.schema.layout import ParallelConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train.checkpoint import hf, sharded
from megatron_train.data.manifest import read_manifest
from megatron_train.parallel import processes
from megatron_train.training.step import build


def main(argv: list[str]) -> int:
    args = cli_parser("megatron_train.export_hf", __doc__).parse_args(argv)
    cfg = load(PretrainConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    run = Path(cfg.output)
    tokens = read_manifest(run / "tokens")
    layout = ParallelConfig(distributed_optimizer=cfg.parallel.distributed_optimizer)
    processes.start(layout, cfg.seed)
    state = build(cfg.model, tokens.vocab_size, layout, cfg.optim, cfg.dtype, cfg.seed)
    found = sharded.load(state, run / "pretrain" / "checkpoints", weights_only=True)
    hf.export(state, run / "hf", tokens.tokenizer)
    processes.stop()
    print(f"{run / 'hf'}: step {found['step']} of {found['folder']}")
    return 0


if __name__ == "__main__":
    run_cli(main)
