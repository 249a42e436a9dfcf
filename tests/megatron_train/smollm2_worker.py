"""HF_FOLDER -> OUT_FOLDER/seen.json, OUT_FOLDER/hf: SmolLM2 imported, trained and exported.

    torchrun --nproc-per-node 6 smollm2_worker.py HF_FOLDER OUT_FOLDER '[[1, 2], [3, 4]]'

It computes log-probabilities of the token ids as imported, takes some steps on them, and computes
them again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from conf.schema.layout import ParallelConfig
from conf.schema.pretrain import OptimConfig
from megatron_train.checkpoint import hf_config, hf_export, hf_import
from megatron_train.parallel import processes
from megatron_train.training import step
from megatron_train.training.losses import language_model_loss

# Nine heads and three groups of keys: tensor parallelism can be 1 or 3.
LAYOUT = ParallelConfig(tp=3, pp=2)


def main(folder: Path, out: Path, ids: list[list[int]]) -> None:
    tokens = torch.tensor(ids)
    model, vocab = hf_config.model_config(folder, seq_length=64)
    processes.start(LAYOUT, seed=1)
    state = step.build(model, vocab, LAYOUT, OptimConfig(lr=1e-5), "fp32", seed=1)
    hf_import.load_weights(state, folder)
    batch = {
        "tokens": tokens[:, :-1].contiguous(),
        "labels": tokens[:, 1:].contiguous(),
        "loss_mask": torch.ones(tokens.size(0), tokens.size(1) - 1),
    }
    [imported] = step.token_logprobs(state, [batch])
    losses = [step.train_step(state, [batch], language_model_loss, 1e-5).loss for _ in range(3)]
    [trained] = step.token_logprobs(state, [batch])
    hf_export.export(state, out / "hf", folder)
    if processes.is_main():
        seen = {"imported": imported.tolist(), "losses": losses, "trained": trained.tolist()}
        (out / "seen.json").write_text(json.dumps(seen))
    processes.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
