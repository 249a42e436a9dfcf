"""DIR/hf -> DIR/pretrain/samples.json: greedy completions of a few prompts, also on the screen.

python -m megatron_train.complete --config conf/pretrain/demo.yaml output=DIR
"""

from __future__ import annotations

from pathlib import Path

from conf.errors import SeedbedError, run_cli
from conf.loader import cli_parser, load, to_yaml
from conf.schema.pretrain import PretrainConfig
from megatron_train.metrics import completions


def main(argv: list[str]) -> int:
    args = cli_parser("megatron_train.complete", __doc__).parse_args(argv)
    cfg = load(PretrainConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    run = Path(cfg.output)
    if not (run / "hf" / "config.json").is_file():
        raise SeedbedError(
            f"{run / 'hf'} holds no model",
            "pretrain first, or export with python -m megatron_train.export_hf",
        )
    written = completions.complete(run / "hf")
    completions.record(run / "pretrain" / "samples.json", cfg.schedule.steps, written)
    for one in written:
        print(f"{one['prompt']}\033[1m{one['completion']}\033[0m\n---")
    return 0


if __name__ == "__main__":
    run_cli(main)
