"""Settings -> what one GRPO step computes with them, on a tiny model and samples made up here.

    python -m tests.rl.training.policy_worker HF_FOLDER OUT.json '{"name": ["key=value", ...]}'

Every run starts from the weights of the folder. The engine's log-probabilities are the trainer's,
but off by as much as OFF says, which is more than the clip allows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

from conf.loader import load
from conf.schema.rl import GrpoConfig
from megatron_train.checkpoint import hf_config, hf_import
from megatron_train.parallel import processes
from megatron_train.training.step import build, token_logprobs
from rl.training.batches import Example, ProcessShare, micro_batches
from rl.training.policy_step import ReferencePolicy, policy_step

LENGTHS = (3, 7, 4, 9, 2, 6)
ADVANTAGES = (1.5, -0.5, 0.75, -1.25, 0.5, 1.0)
OFF = (0.4, -0.7, 0.0)
PAD = 1
# At this rate some ratios of later updates leave the default clip, and others do not.
LR = 8e-4


def example(prompt: list[int], response: list[int], advantage: float, theirs: list[float]):
    return Example(prompt, response, {"advantage": advantage}, {"engine_logprobs": theirs})


def texts() -> list[tuple[list[int], list[int]]]:
    """Prompts and responses of LENGTHS tokens, the same in every process."""
    rng = Random(3)
    prompts = [([rng.randrange(20, 250) for _ in range(4)], n) for n in LENGTHS]
    return [(prompt, [rng.randrange(20, 250) for _ in range(n)]) for prompt, n in prompts]


def main(folder: str, out: str, runs: dict[str, list[str]]) -> None:
    base = GrpoConfig()
    processes.start(base.parallel, 1)
    model, vocab_size = hf_config.model_config(Path(folder))
    plain = [example(p, r, 0.0, [0.0] * len(r)) for p, r in texts()]
    share = ProcessShare.of_this_process(base.parallel, PAD)
    found = {}
    for name, settings in runs.items():
        off_policy = "exact" not in settings
        cfg = load(GrpoConfig, None, [s for s in settings if s != "exact"])
        # Anew, since Adam's moments would go from one run into the next.
        state = build(model, vocab_size, base.parallel, base.optim, "fp32", 1)
        hf_import.load_weights(state, Path(folder))
        state.step = 5
        [batch] = micro_batches(plain, len(plain), share)
        [ours] = token_logprobs(state, [batch], cfg.temperature)
        examples = []
        for (prompt, response), advantage, row in zip(texts(), ADVANTAGES, ours, strict=True):
            first = len(prompt) - 1
            theirs = row[first : first + len(response)].tolist()
            if off_policy:
                theirs = [value + OFF[i % 3] for i, value in enumerate(theirs)]
            examples.append(example(prompt, response, advantage, theirs))
        reference = ReferencePolicy(state) if cfg.objective.kl_coefficient else None
        steps = []
        for _ in range(2):
            result = policy_step(cfg, state, examples, PAD, LR, reference)
            engine = [list(one.per_token["engine_logprobs"]) for one in examples]
            steps.append({**vars(result), "step": state.step, "engine": engine})
        found[name] = steps
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
