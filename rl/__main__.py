"""Post-training: problems, fine-tuning, preferences, reinforcement learning, evaluation.

    python -m rl PROGRAM ...      the same as python -m rl.PROGRAM ...

{programs}

Each PROGRAM --help tells its inputs, outputs and settings. Settings are written as key=value. Under
torchrun --nproc-per-node N -m rl.PROGRAM the programs sft, dpo and grpo run in N processes.
"""

from __future__ import annotations

import importlib
import sys

from conf.errors import SeedbedError, run_cli

PROGRAMS = {
    "sft": "fine-tune on demonstrations: the warm-up before RL",
    "dpo": "train on pairs of passing and failing samples of the model itself",
    "grpo": "reinforcement learning from the sandbox's verdicts",
    "synthesize": "write problems with tests from snippets of curated code",
    "distill": "collect a teacher's responses whose programs pass",
    "evaluate": "score a model, or compare two scores",
    "lm_eval": "lm-evaluation-harness on our models, where it is installed",
    "rescore": "judge stored rollouts again and list the rewards that change",
    "check_parity": "compare log-probabilities of transformers, megatron-core and vLLM",
    "serve": "serve a model that a training run can sample and update",
    "sandbox": "judge programs from files, or show what this host isolates",
}


def main(argv: list[str]) -> int | None:
    if not argv or argv[0] in ("-h", "--help"):
        listed = "\n".join(f"    {name:<14}{line}" for name, line in PROGRAMS.items())
        print((__doc__ or "").format(programs=listed))
        return 0
    if argv[0] not in PROGRAMS:
        raise SeedbedError(f"{argv[0]!r} is no program of rl", f"use one of: {', '.join(PROGRAMS)}")
    return importlib.import_module(f"rl.{argv[0]}").main(argv[1:])


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
