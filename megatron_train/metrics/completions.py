"""Greedy completions of a few prompts from an HF folder, kept beside the metrics: what the model
writes before and after.

    python -m megatron_train.metrics.completions --config conf/pretrain/demo.yaml output=DIR      # DIR/hf -> DIR/pretrain/samples.json

samples.json: [{"step": N, "completions": [{"prompt": ..., "completion": ...}, ...]}, ...], one
entry a step, in order of steps.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from conf.errors import SeedbedError, run_cli
from conf.loader import cli_parser, load, to_yaml
from conf.schema.pretrain import PretrainConfig

PROMPTS = (
    "def add(a, b):\n    ",
    "import os\nimport ",
    "class Node:\n    def __init__(self, ",
    "for i in range(",
)
NEW_TOKENS = 48


def complete(
    model_folder: Path, prompts: tuple[str, ...] = PROMPTS, new_tokens: int = NEW_TOKENS
) -> list[dict[str, str]]:
    """[{prompt, completion}] by greedy decoding with transformers on the CPU."""
    # slow to import, and only one process needs it
    from transformers import (
        AutoModelForCausalLM,
        PreTrainedTokenizerFast,
    )

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(model_folder / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    out = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
        room = max(model.config.max_position_embeddings - ids.size(1), 0)
        with torch.no_grad():
            written = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=min(new_tokens, room),
                do_sample=False,
            )
        out.append(
            {
                "prompt": prompt,
                "completion": tokenizer.decode(written[0, ids.size(1) :], skip_special_tokens=True),
            }
        )
    return out


def record(samples: Path, step: int, completions: list[dict[str, str]]) -> None:
    """Add, or replace, the completions of `step` in samples.json."""
    entries = json.loads(samples.read_text()) if samples.is_file() else []
    entries = [entry for entry in entries if entry["step"] != step] + [
        {"step": step, "completions": completions}
    ]
    samples.parent.mkdir(parents=True, exist_ok=True)
    samples.write_text(
        json.dumps(sorted(entries, key=lambda entry: entry["step"]), indent=1) + "\n"
    )


def main(argv: list[str]) -> int:
    args = cli_parser("megatron_train.metrics.completions", __doc__).parse_args(argv)
    cfg = load(PretrainConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    run = Path(cfg.output)
    if not (run / "hf" / "config.json").is_file():
        raise SeedbedError(
            f"{run / 'hf'} holds no model",
            "pretrain first, or export with python -m megatron_train.checkpoint.hf",
        )
    completions = complete(run / "hf")
    record(run / "pretrain" / "samples.json", cfg.schedule.steps, completions)
    for one in completions:
        print(f"{one['prompt']}\033[1m{one['completion']}\033[0m\n---")
    return 0


if __name__ == "__main__":
    run_cli(main)
