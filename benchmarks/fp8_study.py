"""What FP8 costs in loss: one small model, the same data and order, trained in bf16 and in every
emulated recipe.

    python benchmarks/fp8_study.py --output runs/demo [--config conf/pretrain/demo.yaml] [--steps 250] [--save study.json]

Reads DIR/tokens of a curated run and writes nothing there. One process; the layout of the config is
ignored. Prints, for each recipe, the validation loss and its gap to bf16's, the mean gap of the
training loss over the last fifth of the steps, and the guard's lowest gradient cosine.
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
from conf.schema.pretrain import Fp8Config, ParallelConfig, PretrainConfig
from megatron_train.data.blend import Corpus, micro_batches
from megatron_train.data.manifest import read_manifest
from megatron_train.parallel import processes
from megatron_train.training import fp8_guard, step
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
    """losses (one a step), val_loss after the last, cosines: the guard's lowest at each look."""
    manifest = read_manifest(Path(cfg.output) / "tokens")
    with tempfile.TemporaryDirectory() as index:
        corpora = [
            Corpus(manifest, split, cfg.model.seq_length, cfg.seed, Path(index))
            for split in ("train", "val")
        ]
        state = step.build(
            cfg.model, manifest.vocab_size, cfg.parallel, cfg.optim, cfg.dtype, cfg.seed, cfg.fp8
        )
        losses, cosines = [], []
        for number in tqdm(range(cfg.schedule.steps), desc=name, leave=False, mininterval=5):
            batches = micro_batches(
                corpora[0], number * cfg.batch.total, cfg.batch.total, cfg.batch
            )
            if cfg.fp8.on and number % GUARD_EVERY == 0:
                cosines.append(
                    min(fp8_guard.cosines(state, batches[0], step.language_model_loss).values())
                )
            lr = learning_rate(number, cfg.optim, cfg.schedule)
            losses.append(step.train_step(state, batches, step.language_model_loss, lr).loss)
        held = micro_batches(corpora[1], 0, 8 * cfg.batch.total, cfg.batch)
        return {
            "losses": losses,
            "val_loss": step.eval_loss(state, held, step.language_model_loss).loss,
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


# the guard matters: the checkpoint writer's module may be imported again
if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
