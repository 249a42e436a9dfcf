"""One GRPO step on episodes with told tokens, in the layout of the settings.

torchrun --nproc-per-node N -m tests.rl.training.turns_worker HF_FOLDER OUT.json [key=value]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from conf.loader import load
from conf.schema.rl import GrpoConfig
from megatron_train.checkpoint import hf_config, hf_import
from megatron_train.parallel import processes
from rl.training.batches import Example
from rl.training.policy import build_policy
from rl.training.policy_step import policy_step

SETTINGS = [
    *("temperature=0.7", "micro_batch=1", "updates=2", "objective.kl_coefficient=0"),
    *("max_importance=1.5", "optim.lr=0.001", "optim.min_lr=0.001"),
]
SPANS = (
    ([True] * 4 + [False] * 5 + [True] * 2),
    [True] * 3,
    [True, False, False, True] * 2 + [True],
)


def main(folder: str, out: str, *settings: str) -> None:
    cfg = load(GrpoConfig, None, [*SETTINGS, *settings])
    processes.start(cfg.parallel, 1)
    model, vocab_size = hf_config.model_config(Path(folder))
    state = build_policy(cfg, model, vocab_size)
    hf_import.load_weights(state, Path(folder))
    examples = []
    for number, sampled in enumerate(SPANS):
        response = [30 + 7 * number + 5 * i for i in range(len(sampled))]
        theirs = [-4.0 - 0.25 * (i % 3) if one else 0.0 for i, one in enumerate(sampled)]
        advantage = {"advantage": (1.5, -0.5, 0.75)[number]}
        prompt = [20 + number, 40, 60]
        examples.append(Example(prompt, response, advantage, {"engine_logprobs": theirs}, sampled))
    result = policy_step(cfg, state, examples, 1, 1e-3)
    if processes.is_main():
        told = {"loss": result.loss, "grad_norm": result.grad_norm, "tokens": result.tokens}
        Path(out).write_text(json.dumps({**told, **result.metrics}))
    processes.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
