"""Token shards -> micro-batches, through megatron-core's GPTDataset and its C++ indices.

Sample i of a split is a pure function of (shards, seed, sequence length, i): each pass over the
split is a dataset of its own, shuffled by seed + pass. Several sources are blended by weight,
sample by sample, and each has its own passes. So the order does not depend on the length of the
run, and a run can be extended. A checkpoint's place in the data is one number: the samples read.
Indices are cached under a name that holds the shards' identity.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from megatron.core.datasets import helpers_cpp
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

from conf.errors import SeedbedError, disk_faults
from conf.schema.layout import BatchConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train.data.epochs import epochs
from megatron_train.data.manifest import REPACK, Manifest, byte_lengths
from megatron_train.parallel import processes
from megatron_train.training.losses import Batch


@dataclass(frozen=True)
class _Ids:
    """What GPTDatasetConfig asks of a tokenizer.

    pad is not an id: nothing here is padded, and GPTDataset masks every token that equals it.
    """

    vocab_size: int
    eod: int
    unique_identifiers: dict[str, str]
    pad: int = -1


@dataclass
class Corpus:
    """One split of one source, pass after pass without end."""

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
                f"no {self.split} shard holds one sample of {self.seq_length} + 1 tokens: "
                f"{total} tokens in {len(self.manifest.of(self.split))} shards",
                "curate more data, or lower model.seq_length",
            )
        self.prefixes = [str(s.prefix) for s in long_enough]
        self.per_pass = len(self._pass(0))

    def ensure(self, start: int, count: int) -> None:
        """Build the passes that samples [start, start + count) lie in; collective.

        megatron-core builds on process 0 first.
        """
        for number in range(start // self.per_pass, (start + count - 1) // self.per_pass + 1):
            self._pass(number)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return self.passes[i // self.per_pass][i % self.per_pass]

    def _pass(self, number: int) -> Any:
        """megatron-core's dataset of one pass.

        It is a GPTDataset, or a BlendedDataset over one GPTDataset for each shard.
        """
        if number in self.passes:
            return self.passes[number]
        folder = (
            self.cache
            / self.manifest.identity
            / f"{self.split}-pass{number:04d}-seq{self.seq_length}-seed{self.seed}"
        )
        # megatron-core takes any files that it finds for complete, even those of a killed run.
        done = folder / "complete"
        if processes.is_main() and not done.is_file():
            shutil.rmtree(folder, ignore_errors=True)
        processes.barrier()
        config = GPTDatasetConfig(
            random_seed=self.seed + number,
            sequence_length=self.seq_length,
            blend_per_split=[(self.prefixes, None), None, None],
            path_to_cache=str(folder),
            tokenizer=_Ids(
                self.manifest.vocab_size, self.manifest.eod, {"tokens": self.manifest.identity}
            ),
            reset_position_ids=False,
            reset_attention_mask=False,
            eod_mask_loss=False,
            create_attention_mask=False,
        )
        with disk_faults(folder):
            built = BlendedMegatronDatasetBuilder(
                GPTDataset, [None, None, None], lambda: True, config
            ).build()[0]
        processes.barrier()
        if processes.is_main():
            done.touch()
        self.passes = {number - 1: self.passes[number - 1]} if number - 1 in self.passes else {}
        self.passes[number] = built
        return built


# After so many samples a blend repeats. A source's share is right to one sample in this many.
_PERIOD = 1 << 16


@dataclass
class Blend:
    """Several corpora mixed by weight, or one alone.

    Sample i is a pure function of the corpora, their weights, `begin_at` and i. The order of
    sources is that of megatron-core's C++ build_blending_indices, repeated every _PERIOD samples.
    It keeps every prefix as close to the weights as whole samples can be.
    """

    names: list[str]
    weights: list[float]
    corpora: list[Corpus]

    def __post_init__(self) -> None:
        self.source, self.rank = _order(self.weights)
        self.period_counts = np.bincount(self.source, minlength=len(self.weights))
        self.begin_at(0, {})

    def begin_at(self, since: int, read: Mapping[str, int]) -> None:
        """Let the order of sources begin at sample `since`.

        read: identity -> samples of that source that were read before. It goes on behind them.
        """
        self.since = since
        self.before = [0] * len(self.corpora)
        if read:
            self.before = [read.get(identity, 0) for identity in self.identities]

    @property
    def identities(self) -> list[str]:
        """What each source's tokens are known by."""
        return [corpus.manifest.identity for corpus in self.corpora]

    @property
    def identity(self) -> Any:
        """What the order of samples depends on, as JSON.

        For one source it is the source's identity; several have their names and weights in it.
        """
        found = self.identities
        return (
            found[0]
            if len(found) == 1
            else [list(one) for one in zip(self.names, found, self.weights, strict=True)]
        )

    @property
    def tokens(self) -> int:
        """Distinct tokens of all sources."""
        return sum(
            shard.tokens for corpus in self.corpora for shard in corpus.manifest.of(corpus.split)
        )

    def epochs(self, end: int) -> dict[str, float]:
        """How often the samples before number `end` read each source."""
        weights = dict(zip(self.names, self.weights, strict=True))
        sizes = {n: corpus.per_pass for n, corpus in zip(self.names, self.corpora, strict=True)}
        found = epochs(weights, sizes, end - self.since)
        for name, before in zip(self.names, self.before, strict=True):
            found[name] += before / sizes[name]
        return found

    def passes(self, end: int) -> str:
        """The same in words."""
        read = self.epochs(end)
        if len(read) == 1:
            return f"{next(iter(read.values())):.2f}"
        return ", ".join(f"{name} {passes:.2f}" for name, passes in read.items())

    def weighted_mean(self, by_name: dict[str, float]) -> float:
        """The mean of one value for each source, under the blend's weights."""
        return sum(
            w * by_name[name] for name, w in zip(self.names, self.weights, strict=True)
        ) / sum(self.weights)

    def locate(self, i: int) -> tuple[int, int]:
        """(index of its corpus, index within that corpus) of sample i."""
        period, offset = divmod(i - self.since, _PERIOD)
        source = int(self.source[offset])
        earlier = self.before[source] + period * self.period_counts[source]
        return source, int(earlier + self.rank[offset])

    def samples_of(self, source: int, number: int) -> int:
        """The inverse of `locate`, for a number that was not read before `since`."""
        period, rank = divmod(number - self.before[source], int(self.period_counts[source]))
        return self.since + period * _PERIOD + int(np.flatnonzero(self.source == source)[rank])

    def ensure(self, start: int, count: int) -> None:
        """Build what samples [start, start + count) need; collective."""
        located = [self.locate(i) for i in range(start, start + count)]
        for source, corpus in enumerate(self.corpora):
            numbers = [number for where, number in located if where == source]
            if numbers:
                corpus.ensure(numbers[0], numbers[-1] - numbers[0] + 1)

    def __getitem__(self, i: int) -> tuple[int, dict[str, torch.Tensor]]:
        """(index of its corpus, the sample)."""
        source, number = self.locate(i)
        return source, self.corpora[source][number]


def drawn(weights: list[float], samples: int) -> list[int]:
    """How many of the first `samples` samples of a blend belong to each source."""
    source, _ = _order(weights)
    periods, rest = divmod(samples, _PERIOD)
    counts = periods * np.bincount(source, minlength=len(weights))
    return (counts + np.bincount(source[:rest], minlength=len(weights))).tolist()


def _order(weights: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """For each sample of a period: its source, and how many of that source come before it."""
    source = np.zeros(_PERIOD, dtype=np.int16)
    rank = np.zeros(_PERIOD, dtype=np.int64)
    shares = [weight / sum(weights) for weight in weights]
    helpers_cpp.build_blending_indices(source, rank, shares, len(shares), _PERIOD, False)
    return source, rank


def open_blend(sources: dict[str, Manifest], cfg: PretrainConfig, split: str, cache: Path) -> Blend:
    """The blend of `sources` under the weights, sequence length and seed of `cfg`.

    sources: those that manifest.read_sources returns, or some of them. cache: a folder for indices.
    """
    weights = {source.name: source.weight for source in cfg.data.blend}
    corpora = [
        Corpus(manifest, split, cfg.model.seq_length, cfg.seed, cache)
        for manifest in sources.values()
    ]
    return Blend(list(sources), [weights.get(name, 1.0) for name in sources], corpora)


def micro_batches(
    data: Blend, start: int, count: int, batch: BatchConfig, document_mask: bool = False
) -> list[Batch]:
    """This process's share of samples [start, start + count).

    The set of samples is the same in every layout. Each micro-batch holds tokens, labels and
    loss_mask [b, s] and source [b]. With document_mask it also holds document_ids [b, s], where a
    document's end token is its last. count must divide by batch.micro * dp.

    Raises:
        SeedbedError: for an id outside the vocabulary. The vocabulary-parallel embedding would turn
            it into zeros and say nothing.
    """
    data.ensure(start, count)
    dp, mine = processes.dp_size(), processes.dp_rank()
    # read_sources has made sure that all sources have one tokenizer.
    manifest = data.corpora[0].manifest
    out = []
    for first in range(start + mine * batch.micro, start + count, batch.micro * dp):
        sources, samples = zip(*(data[i] for i in range(first, first + batch.micro)), strict=True)
        one = {
            key: torch.stack([s[key] for s in samples]) for key in ("tokens", "labels", "loss_mask")
        }
        largest = int(max(one["tokens"].max(), one["labels"].max()))
        if largest >= manifest.vocab_size:
            raise SeedbedError(
                f"samples {first} to {first + batch.micro - 1} of {_names(data, sources)} hold id "
                f"{largest}; the tokenizer has {manifest.vocab_size} ids",
                REPACK,
            )
        one["source"] = torch.tensor(sources)
        if document_mask:
            ends = (one["tokens"] == manifest.eod).int()
            one["document_ids"] = ends.cumsum(1) - ends
        out.append(one)
    return out


def _names(data: Blend, sources: tuple[int, ...]) -> str:
    return " and ".join(sorted({data.names[source] for source in sources}))


def bytes_of_labels(batches: list[Batch], manifest: Manifest) -> float:
    """Bytes of text that the counted labels of these micro-batches stand for.

    Special tokens stand for none.
    """
    lengths = torch.from_numpy(byte_lengths(manifest))
    return float(sum((lengths[batch["labels"]] * batch["loss_mask"]).sum() for batch in batches))
