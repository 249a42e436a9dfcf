"""RUN OUT.json {layout}: the figures of an evaluation of a fresh model, in one layout.

torchrun --nproc-per-node 2 evaluation_worker.py RUN OUT.json '{"tp": 2}'
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from conf.schema.batch import RampedBatchConfig
from conf.schema.layout import ModelConfig, ParallelConfig
from conf.schema.pretrain import DataConfig, PretrainConfig, SourceConfig
from megatron_train.data.blend import open_blend
from megatron_train.data.manifest import read_sources
from megatron_train.parallel import processes
from megatron_train.training.evaluation import evaluate, open_held_out
from megatron_train.training.step import build_from


def main(run: Path, out: Path, layout: dict) -> None:
    cfg = PretrainConfig(
        model=ModelConfig(layers=2, hidden=32, ffn=48, heads=4, kv_heads=2, seq_length=16),
        parallel=ParallelConfig(**layout),
        data=DataConfig([SourceConfig(n, str(run / n), w) for n, w in (("a", 3.0), ("b", 1.3))]),
        batch=RampedBatchConfig(micro=1, total=4),
        eval_batches=3,
        seed=5,
    )
    sources = read_sources(cfg.data, run)
    processes.start(cfg.parallel, cfg.seed)
    held_out = open_held_out(sources, cfg, out.parent / "index")
    train = open_blend(sources, cfg, "train", out.parent / "index")
    state = build_from(cfg, next(iter(sources.values())).vocab_size)
    found = dataclasses.asdict(evaluate(state, held_out, train))
    counts = {name: [held.tokens, held.bytes] for name, held in held_out.items()}
    if processes.is_main():
        out.write_text(json.dumps(found | {"counts": counts}))
    processes.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
