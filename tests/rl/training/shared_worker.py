"""GRPO steps with prompts once per group and once per sample, in the layout of the settings.

torchrun --nproc-per-node N -m tests.rl.training.shared_worker HF_FOLDER OUT.json [key=value]

Both ways start from the weights of the folder, with two updates and a KL penalty. The file has
{way: {"steps": [...], "logprobs": [[...] of each sample], "gradients": {name: [sum, norm]}}}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random
from unittest.mock import patch

import torch

from conf.loader import load
from conf.schema.rl import GrpoConfig
from megatron_train.checkpoint import hf_config, hf_import
from megatron_train.model import weights
from megatron_train.parallel import processes
from megatron_train.training.step import step_gradients, token_logprobs
from rl.training import policy_step as steps
from rl.training.batches import Example, ProcessShare, step_batches
from rl.training.policy import build_policy
from rl.training.policy_objective import PolicyObjective
from rl.training.shared_prompts import shared_batches

SETTINGS = [
    *("temperature=0.7", "micro_batch=4", "max_response=12", "updates=2"),
    *("objective.kl_coefficient=0.3", "clip_high=0.004", "clip_low=0.004", "optim.eps=0.001"),
]
# Samples of each prompt, by their tokens. One group is larger than a micro-batch, one prompt is a
# single token, and one sample has no answer.
GROUPS = ((9, (3, 7, 1, 5, 12, 2)), (1, (4, 6)), (5, (8,)), (14, (2, 0, 11)))
PAD, LR = 1, 1e-5


def examples() -> list[Example]:
    rng = Random(3)

    def tokens(count: int) -> list[int]:
        return [rng.randrange(20, 250) for _ in range(count)]

    found = []
    for size, lengths in GROUPS:
        prompt = tokens(size)
        for n in lengths:
            theirs = {"engine_logprobs": [-5.0 - 0.5 * (i % 3) for i in range(n)]}
            told = [i not in (3, 4) for i in range(n)]
            advantage = {"advantage": rng.uniform(-1, 1)}
            found.append(Example(prompt, tokens(n), advantage, theirs, told))
    # Groups need not stand together.
    rng.shuffle(found)
    return found


def one_way(folder: Path, cfg: GrpoConfig, shared: bool) -> dict:
    model, vocab_size = hf_config.model_config(folder)
    state = build_policy(cfg, model, vocab_size)
    hf_import.load_weights(state, folder)
    everything = ProcessShare.everything(cfg.parallel, PAD)
    mine = ProcessShare.of_this_process(cfg.parallel, PAD)

    def batches(share: ProcessShare) -> list:
        if shared:
            return shared_batches(examples(), cfg.micro_batch, share)
        return step_batches(examples(), cfg.micro_batch, share, cfg.parallel)

    # Samples are told apart by their advantages.
    logprobs = {}
    for batch, found in zip(
        batches(everything), token_logprobs(state, batches(everything), 0.7), strict=True
    ):
        for number, key in enumerate(batch["advantage"].tolist()):
            counted = found[number][batch["loss_mask"][number] > 0]
            logprobs[key] = counted.tolist()
    recipe = load(GrpoConfig, None, ["temperature=0.7"])
    step_gradients(state, batches(mine), PolicyObjective(recipe, 12).loss, 0.7)
    named = weights.local_parameters(state.chunks).items()
    gradients = {name: p.main_grad.double().flatten().tolist()[::7] for name, p in named}
    reference = steps.ReferencePolicy(state)
    seen = []
    with patch.object(steps, "why_apart", lambda _: None if shared else "asked for"):
        for _ in range(2):
            result = steps.policy_step(cfg, state, examples(), PAD, LR, reference)
            seen.append({**result.metrics, "loss": result.loss, "grad_norm": result.grad_norm})
    return {
        "steps": seen,
        "logprobs": [logprobs[key] for key in sorted(logprobs)],
        "gradients": gradients,
    }


def main(folder: str, out: str, *settings: str) -> None:
    cfg = load(GrpoConfig, None, [*SETTINGS, *settings])
    processes.start(cfg.parallel, 1)
    torch.use_deterministic_algorithms(True)
    found = {way: one_way(Path(folder), cfg, way == "shared") for way in ("shared", "apart")}
    if processes.is_main():
        Path(out).write_text(json.dumps(found))
    processes.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
