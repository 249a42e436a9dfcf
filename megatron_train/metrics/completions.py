"""Greedy completions of a few prompts from a Hugging Face folder, kept beside the metrics.

samples.json: [{"step": N, "completions": [{"prompt": "", "completion": ""}]}], one entry for each
step, in order of steps.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from seedbed.files import write_whole

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
    # It is slow to import, and only one process needs it.
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

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
    """Add the completions of `step` to samples.json, or replace those that it has."""
    entries = json.loads(samples.read_text()) if samples.is_file() else []
    entries = [entry for entry in entries if entry["step"] != step] + [
        {"step": step, "completions": completions}
    ]
    entries.sort(key=lambda entry: entry["step"])
    write_whole(samples, json.dumps(entries, indent=1) + "\n")
