"""GRPO through its own `main`, twice: some steps, and then on from the checkpoint.

With STEPS=0 it runs once. An answer of a model without training hardly ever ends, so the engine
ends one after LONGEST tokens where END_ANSWERS is set.

    python -m tests.rl.grpo_worker STEPS key=value ...

The engine is transformers' model of the policy's folder, which starts in a second. Trainer,
sandbox, checkpoints, tables and exports are the real ones.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from rl import grpo
from rl.rollouts import rollout_worker
from rl.weight_sync.sync import sums_of_folder
from seedbed.inference.checksums import EMBEDDING, HEAD
from seedbed.inference.engine import AnyEngine, Sample

LONGEST = 7


class PlainEngine(AnyEngine):
    """Samples token by token, each sample from its own seed."""

    def __init__(self, folder: Path):
        self.load(folder)

    def load(self, folder):
        self._folder = folder
        self._model = AutoModelForCausalLM.from_pretrained(folder).eval()

    def sums(self):
        sums = dict(sums_of_folder(self._folder, "float32"))
        return {**sums, HEAD: sums.get(HEAD, sums[EMBEDDING])}

    @torch.no_grad()
    def _logprobs(self, ids, temperature):
        return torch.log_softmax(self._model(torch.tensor([ids])).logits[0] / temperature, -1)

    def generate(self, prompts, seeds, sampling):
        found = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            generator = torch.Generator().manual_seed(seed)
            ids, logprobs = list(prompt), []
            while len(logprobs) < sampling.max_tokens and ids[-1] not in sampling.stop_ids:
                last = self._logprobs(ids, sampling.temperature)[-1]
                token = int(torch.multinomial(last.exp(), 1, generator=generator))
                if len(logprobs) >= LONGEST + seed % 3 and "END_ANSWERS" in os.environ:
                    token = next(iter(sampling.stop_ids), token)
                ids.append(token)
                logprobs.append(last[ids[-1]].item())
            tokens = ids[len(prompt) :]
            found.append(Sample(tokens, logprobs, tokens[-1] in sampling.stop_ids, ""))
        return found

    def score(self, sequences):
        every = [self._logprobs(ids, 1.0) for ids in sequences]
        return [
            [one[i, token].item() for i, token in enumerate(ids[1:])]
            for one, ids in zip(every, sequences, strict=True)
        ]

    def call(self, *_): ...
    def forget(self): ...


if __name__ == "__main__":
    rollout_worker.open_engine = lambda model, *_: PlainEngine(model)
    if sys.argv[1] != "0":
        assert grpo.main([*sys.argv[2:], f"steps={sys.argv[1]}"]) == 0
    assert grpo.main(sys.argv[2:]) == 0
