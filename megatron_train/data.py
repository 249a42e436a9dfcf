"""Token shards -> micro-batches, through megatron-core's GPTDataset and its C++ indices.

Sample i of a split is a pure function of (shards, seed, sequence length, i): each pass over the split is a dataset of its own,
shuffled by seed + pass. So the order does not depend on how long the run is, a run can be extended, and the data cursor of a
checkpoint is one number: the samples consumed. Indices are cached under a name that carries the shards' identity.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

from conf.errors import SeedbedError
from conf.schema.pretrain import BatchConfig
from megatron_train import parallel
from megatron_train.step import Batch
from megatron_train.tokens import REPACK, Manifest


@dataclass(frozen=True)
class _Ids:
    """What GPTDatasetConfig asks of a tokenizer.

    pad is no id, for nothing here is padded, and GPTDataset masks and zeroes every token that equals it.
    """

    vocab_size: int
    eod: int
    unique_identifiers: dict[str, str]
    pad: int = -1


@dataclass
class Corpus:
    """One split, pass after pass without end."""

    manifest: Manifest
    split: str
    seq_length: int
    seed: int
    cache: Path
    passes: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        long_enough = [s for s in self.manifest.of(self.split) if s.tokens > self.seq_length]
        if not long_enough:
            total = sum(s.tokens for s in self.manifest.of(self.split))
            raise SeedbedError(
                f"no {self.split} shard holds one sample of {self.seq_length} + 1 tokens: {total} tokens in "
                f"{len(self.manifest.of(self.split))} shards",
                "curate more data, or lower model.seq_length",
            )
        self.prefixes = [str(s.prefix) for s in long_enough]
        self.per_pass = len(self._pass(0))

    def ensure(self, start: int, count: int) -> None:
        """Build the passes that samples [start, start + count) lie in. Collective: megatron-core builds on process 0 first."""
        for number in range(start // self.per_pass, (start + count - 1) // self.per_pass + 1):
            self._pass(number)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return self.passes[i // self.per_pass][i % self.per_pass]

    def _pass(self, number: int) -> Any:
        if number in self.passes:
            return self.passes[number]
        folder = (
            self.cache / self.manifest.identity / f"{self.split}-pass{number:04d}-seq{self.seq_length}-seed{self.seed}"
        )
        done = folder / "complete"  # megatron-core takes whatever files it finds for whole, a killed run's halves too
        if parallel.is_main() and not done.is_file():
            shutil.rmtree(folder, ignore_errors=True)
        parallel.barrier()
        config = GPTDatasetConfig(
            random_seed=self.seed + number,
            sequence_length=self.seq_length,
            blend_per_split=[(self.prefixes, None), None, None],
            path_to_cache=str(folder),
            tokenizer=_Ids(self.manifest.vocab_size, self.manifest.eod, {"tokens": self.manifest.identity}),
            reset_position_ids=False,
            reset_attention_mask=False,
            eod_mask_loss=False,
            create_attention_mask=False,
        )
        built = BlendedMegatronDatasetBuilder(GPTDataset, [None, None, None], lambda: True, config).build()[0]
        parallel.barrier()
        if parallel.is_main():
            done.touch()
        self.passes = {number - 1: self.passes[number - 1]} if number - 1 in self.passes else {}
        self.passes[number] = built
        return built


def micro_batches(corpus: Corpus, start: int, count: int, batch: BatchConfig) -> list[Batch]:
    """This process's share of samples [start, start + count), which is the same set of samples in every layout.

    count must divide by batch.micro * dp. Raises SeedbedError for an id outside the vocabulary, which the vocabulary-parallel
    embedding would turn into zeros without a word.
    """
    corpus.ensure(start, count)
    dp, mine = parallel.dp_size(), parallel.dp_rank()
    out = []
    for first in range(start + mine * batch.micro, start + count, batch.micro * dp):
        samples = [corpus[i] for i in range(first, first + batch.micro)]
        one = {key: torch.stack([s[key] for s in samples]) for key in ("tokens", "labels", "loss_mask")}
        largest = int(max(one["tokens"].max(), one["labels"].max()))
        if largest >= corpus.manifest.vocab_size:
            raise SeedbedError(
                f"{corpus.split} samples {first} to {first + batch.micro - 1} hold id {largest}; the tokenizer has "
                f"{corpus.manifest.vocab_size} ids",
                REPACK,
            )
        out.append(one)
    return out
