"""DIR/tokens -> a table: what FP8 costs in loss.

    python benchmarks/fp8_study.py --output runs/demo [--config conf/pretrain/demo.yaml] \
        [--steps 250] [--save study.json]

One small model is trained on the same data in the same order, in bf16 and in every emulated recipe.
Nothing is written to DIR. There is one process, and the layout of the config is ignored. For each
recipe it prints the validation loss and its gap to bf16's, the mean gap of the training loss over
the last fifth of the steps, and the guard's lowest gradient cosine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from conf.errors import run_cli
from conf.loader import load
from conf.schema.fp8 import Fp8Config
from conf.schema.layout import ParallelConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train.data.blend import micro_batches, open_blend
from megatron_train.data.manifest import read_manifest
from megatron_train.fp8 import guard
from megatron_train.parallel import processes
from megatron_train.training import step
from megatron_train.training.losses import language_model_loss
from megatron_train.training.schedule import learning_rate

GUARD_EVERY = 50
VARIANTS = {
    "fp32": ("fp32", Fp8Config()),
    "bf16": ("bf16", Fp8Config()),
    "delayed hybrid": ("bf16", Fp8Config(format="hybrid", recipe="delayed", emulate=True)),
    "tensorwise hybrid": ("bf16", Fp8Config(format="hybrid", recipe="tensorwise", emulate=True)),
    "tensorwise hybrid, bf16 ends": (
        "bf16",
        Fp8Config(format="hybrid", recipe="tensorwise", emulate=True, bf16_ends=1),
    ),
    "blockwise e4m3": ("bf16", Fp8Config(format="e4m3", recipe="blockwise", emulate=True)),
    "mxfp8 e4m3": ("bf16", Fp8Config(format="e4m3", recipe="mxfp8", emulate=True)),
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", required=True, metavar="DIR")
    parser.add_argument("--config", default="conf/pretrain/demo.yaml", metavar="FILE")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--save", metavar="FILE", help="every loss, as JSON")
    args = parser.parse_args(argv)
    cfg = load(
        PretrainConfig, args.config, [f"output={args.output}", f"schedule.steps={args.steps}"]
    )
    processes.start(ParallelConfig(), cfg.seed)
    runs: dict[str, dict[str, Any]] = {}
    for name, (dtype, fp8) in VARIANTS.items():
        runs[name] = train(replace(cfg, parallel=ParallelConfig(), dtype=dtype, fp8=fp8), name)
        print(row(name, runs[name], runs.get("bf16", runs[name])), flush=True)
        if args.save:
            Path(args.save).write_text(json.dumps(runs, indent=1) + "\n")
    processes.stop()
    return 0


def train(cfg: PretrainConfig, name: str) -> dict[str, Any]:
    """The losses of all steps, val_loss after the last, and the guard's lowest cosines."""
    manifest = read_manifest(Path(cfg.output) / "tokens")
    with tempfile.TemporaryDirectory() as index:
        corpora = [
            open_blend({"tokens": manifest}, cfg, split, Path(index)) for split in ("train", "val")
        ]
        state = step.build_from(cfg, manifest.vocab_size)
        losses, cosines = [], []
        for number in tqdm(range(cfg.schedule.steps), desc=name, leave=False, mininterval=5):
            batches = micro_batches(
                corpora[0], number * cfg.batch.total, cfg.batch.total, cfg.batch
            )
            if cfg.fp8.on and number % GUARD_EVERY == 0:
                cosines.append(min(guard.cosines(state, batches[0], language_model_loss).values()))
            lr = learning_rate(number, cfg.optim, cfg.schedule)
            losses.append(step.train_step(state, batches, language_model_loss, lr).loss)
        held = micro_batches(corpora[1], 0, 8 * cfg.batch.total, cfg.batch)
        return {
            "losses": losses,
            "val_loss": step.eval_loss(state, held, language_model_loss).loss,
            "cosines": cosines,
        }


def row(name: str, run: dict[str, Any], bf16: dict[str, Any]) -> str:
    tail = len(run["losses"]) // 5 or 1
    gap = (
        sum(a - b for a, b in zip(run["losses"][-tail:], bf16["losses"][-tail:], strict=True))
        / tail
    )
    cosine = f"{min(run['cosines']):.4f}" if run["cosines"] else "-"
    return (
        f"{name:<30} val {run['val_loss']:.4f} ({run['val_loss'] - bf16['val_loss']:+.4f})  "
        f"train over the last {tail} steps {gap:+.4f}  lowest cosine {cosine}"
    )


# The condition matters: the checkpoint writer may spawn processes that import this file.
if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
