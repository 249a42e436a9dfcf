"""Two GRPO steps with a reference policy and several updates each, in the layout of the settings.

torchrun --nproc-per-node N -m tests.rl.training.layout_worker HF_FOLDER OUT.json [key=value]
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
from rl.training.policy_step import ReferencePolicy, policy_step
from tests.rl.training.policy_worker import ADVANTAGES, texts

SETTINGS = [
    *("temperature=0.7", "micro_batch=2", "max_response=12", "updates=3", "max_importance=1.5"),
    *("objective.kl_coefficient=0.3", "clip_high=0.004", "clip_low=0.004"),
    # With its usual epsilon Adam divides rounding by rounding, where a gradient is nearly 0.
    "optim.eps=0.001",
]
LR = 1.5e-4


def main(folder: str, out: str, *settings: str) -> None:
    cfg = load(GrpoConfig, None, [*SETTINGS, *settings])
    processes.start(cfg.parallel, 1)
    model, vocab_size = hf_config.model_config(Path(folder))
    state = build_policy(cfg, model, vocab_size)
    hf_import.load_weights(state, Path(folder))
    reference = ReferencePolicy(state)
    examples = []
    for (prompt, response), advantage in zip(texts(), ADVANTAGES, strict=True):
        theirs = {"engine_logprobs": [-5.0 - 0.5 * (i % 3) for i in range(len(response))]}
        # The last token of the longest answers was told, and enters neither loss nor penalty.
        told = [i < 6 for i in range(len(response))]
        examples.append(Example(prompt, response, {"advantage": advantage}, theirs, told))
    steps = []
    for _ in range(2):
        result = policy_step(cfg, state, examples, 1, LR, reference)
        steps.append({**result.metrics, "loss": result.loss, "grad_norm": result.grad_norm})
    if processes.is_main():
        Path(out).write_text(json.dumps(steps))
    processes.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
