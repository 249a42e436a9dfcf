"""From optimizer steps to documents and back.

    python -m megatron_train which_documents --step N --config C output=DIR
    python -m megatron_train which_steps --document X --config C output=DIR

The first prints what step N (counted from 1) read, the second which steps read document X. X is a
document_id of table `documents`, or its first 8 digits or more. step=N and document=X are the same
as the flags. The sequence of samples is a pure function, so nothing has to be logged for this. Both
read DIR/pretrain's index, the token shards, and table token_index beside each source's token
folder, at the version that the packer wrote. They need no checkpoint and no GPU. Without that
table, documents are named by shard and number. Where the blend or the batch was changed on the way,
DIR/pretrain/segments.json tells what held for which steps.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from deltalake import DeltaTable
from pyarrow.compute import Expression, field, starts_with

from conf.errors import SeedbedError
from conf.flags import parse_flags
from conf.loader import cli_parser, load, to_yaml
from conf.schema.batch import RampedBatchConfig
from conf.schema.pretrain import PretrainConfig, SourceConfig
from megatron_train.data.blend import Blend, open_blend
from megatron_train.data.manifest import Manifest, read_sources
from megatron_train.data.segments import Segment
from megatron_train.data.segments import read as read_segments
from seedbed import jsonl


@dataclass(frozen=True)
class Reading:
    """A stretch of one document that one sample holds as input."""

    # Counted from 1, as in metrics.jsonl.
    step: int
    # Counted from 0 over the whole run.
    sample: int
    source: str
    # The shard's file name without .bin.
    shard: str
    # The document's number in its shard.
    number: int
    # The first token of the document that was read.
    first: int
    tokens: int


def which_documents(argv: list[str]) -> int:
    parser = cli_parser("megatron_train which_documents", __doc__)
    parser.add_argument("--step", type=int, required=True, help="optimizer step, counted from 1")
    args, cfg = _open(parser, argv)
    if cfg is None:
        return 0
    if not 1 <= args.step <= cfg.schedule.steps:
        raise SeedbedError(
            f"--step {args.step}: the run has steps 1 to {cfg.schedule.steps}",
            "give one of them, or raise schedule.steps",
        )
    order = Order.of(cfg)
    data = _blend_of(cfg, order.segments, order.stretch(args.step).segment)
    first, count = order.first_sample(args.step), order.size(args.step)
    data.ensure(first, count)
    read = [r for i in range(first, first + count) for r in readings(data, i, order)]
    names = {}
    for name, corpus in zip(data.names, data.corpora, strict=True):
        mine = [r for r in read if r.source == name]
        in_shards = field("shard_file").isin({f"{r.shard}.bin" for r in mine})
        with_numbers = field("document_number").isin({r.number for r in mine})
        names[name] = _names(corpus.manifest, in_shards & with_numbers)
    for reading in read:
        named = names[reading.source].get((reading.shard, reading.number), {})
        print(json.dumps({**asdict(reading), **named}))
    return 0


def which_steps(argv: list[str]) -> int:
    parser = cli_parser("megatron_train which_steps", __doc__)
    parser.add_argument("--document", required=True, help="document_id, or its first digits")
    args, cfg = _open(parser, argv)
    if cfg is None:
        return 0
    if len(args.document) < 8:
        raise SeedbedError(
            f"--document {args.document}: 8 digits at least", "give more of the document_id"
        )
    order, said, names = Order.of(cfg), set(), set()
    for segment in range(max(len(order.segments), 1)):
        data = _blend_of(cfg, order.segments, segment)
        names |= set(data.names)
        for source, corpus in enumerate(data.corpora):
            named = _names(corpus.manifest, starts_with(field("document_id"), args.document))
            for (shard, number), known in named.items():
                document = {"source": data.names[source], "shard": shard, "number": number}
                if tuple(document.values()) not in said:
                    print(json.dumps({**known, **document}))
                said.add(tuple(document.values()))
                last = order.last_step(segment, cfg.schedule.steps)
                for reading in steps_of(data, source, shard, number, last, order):
                    print(json.dumps(asdict(reading)))
    if not said:
        raise SeedbedError(
            f"no training document of {', '.join(sorted(names))} has an id that begins with "
            f"{args.document}",
            "give the first digits of a document_id; table documents lists them, and token_index "
            "those that were packed",
        )
    return 0


@dataclass(frozen=True)
class Stretch:
    """Steps that read their samples in order, without a gap between them."""

    # Its first step, counted from 1, and that step's first sample.
    step: int
    sample: int
    batch: RampedBatchConfig
    # The segment that it lies in, counted from 0.
    segment: int = 0

    def first_sample(self, step: int) -> int:
        return self.sample + self.batch.samples(step - 1) - self.batch.samples(self.step - 1)


@dataclass(frozen=True)
class Order:
    """Which step read which sample: all in order, except those that rewinding left out."""

    # By step.
    stretches: tuple[Stretch, ...]
    # Those of the run; () for a run that has not begun.
    segments: tuple[Segment, ...] = ()

    @classmethod
    def of(cls, cfg: PretrainConfig) -> Order:
        """The order that segments.json and metrics.jsonl tell.

        Steps after the last row go on from there.
        """
        folder = Path(cfg.output) / "pretrain"
        segments = read_segments(folder)
        found = [
            Stretch(one.step + 1, one.sample, one.sizes, n) for n, one in enumerate(segments)
        ] or [Stretch(1, 0, cfg.batch)]
        for row in jsonl.whole_rows(folder / "metrics.jsonl"):
            if "first_sample" not in row:
                continue
            step, sample = row["step"], row["first_sample"]
            at = max(n for n, one in enumerate(found) if one.step <= step)
            if found[at].first_sample(step) != sample:
                found.insert(at + 1, replace(found[at], step=step, sample=sample))
        return cls(tuple(found), tuple(segments))

    def stretch(self, step: int) -> Stretch:
        return next(one for one in reversed(self.stretches) if one.step <= step)

    def first_sample(self, step: int) -> int:
        return self.stretch(step).first_sample(step)

    def size(self, step: int) -> int:
        """The samples of a step."""
        return self.stretch(step).batch.size(step - 1)

    def segment_begin(self, step: int) -> int:
        """The first sample of the segment that step `step` lies in."""
        mine = self.stretch(step).segment
        return next(one.sample for one in self.stretches if one.segment == mine)

    def last_step(self, segment: int, steps: int) -> int:
        """The last step of a segment of a run of `steps` steps."""
        later = [one.step for one in self.stretches if one.segment > segment]
        return min([steps, *(step - 1 for step in later)])

    def step_of(self, sample: int) -> int | None:
        """None for a sample that was left out."""
        ends = [one.step for one in self.stretches[1:]] + [1 << 62]
        for one, until in zip(self.stretches, ends, strict=True):
            if sample < one.sample:
                continue
            step = one.batch.step_of(sample - one.sample + one.batch.samples(one.step - 1)) + 1
            if step < until:
                return step
        return None


def readings(data: Blend, sample: int, order: Order) -> Iterator[Reading]:
    """Yields what sample `sample` holds, document by document; nothing where no step read it.

    `data.ensure` must have been called for the sample.
    """
    step = order.step_of(sample)
    if step is None:
        return
    source, number = data.locate(sample)
    corpus = data.corpora[source]
    dataset, shuffled = _shard_sample(
        corpus.passes[number // corpus.per_pass], number % corpus.per_pass
    )
    mine = int(dataset.shuffle_index[shuffled])
    begins, ends = dataset.sample_index[mine : mine + 2].tolist()
    (first_document, first_token), (last_document, end_token) = begins, ends
    for at in range(first_document, last_document + 1):
        document = int(dataset.document_index[at])
        begin = first_token if at == first_document else 0
        end = end_token if at == last_document else int(dataset.dataset.sequence_lengths[document])
        if end > begin:
            yield Reading(
                step, sample, data.names[source], _shard_name(dataset), document, begin, end - begin
            )


def steps_of(
    data: Blend, source: int, shard: str, number: int, steps: int, order: Order
) -> Iterator[Reading]:
    """Yields every reading of one document of one source up to step `steps`, in order.

    They are those of the segment that `data` is the blend of, and `steps` lies in it.
    """
    corpus = data.corpora[source]
    begin, end = order.segment_begin(steps), order.first_sample(steps) + order.size(steps)
    before = data.before[source]
    for pass_number in range(before // corpus.per_pass, (before + end) // corpus.per_pass + 1):
        corpus.ensure(pass_number * corpus.per_pass, 1)
        numbers = [
            pass_number * corpus.per_pass + index
            for index in _samples_with(corpus.passes[pass_number], shard, number)
        ]
        # What came before the segment has another place in the order.
        for sample in sorted(data.samples_of(source, n) for n in numbers if n >= before):
            if begin <= sample < end:
                yield from (
                    r
                    for r in readings(data, sample, order)
                    if (r.shard, r.number) == (shard, number)
                )


def _samples_with(top: Any, shard: str, number: int) -> list[int]:
    """The samples of one pass that hold document `number` of a shard."""
    parts = top.datasets if hasattr(top, "datasets") else [top]
    found = []
    for which, dataset in enumerate(parts):
        if _shard_name(dataset) != shard:
            continue
        unshuffled = np.argsort(dataset.shuffle_index)
        for at in np.flatnonzero(dataset.document_index == number):
            # sample_index holds the (document, token) where each sample begins. The document's
            # samples go from the last that begins before it to the last that begins within it.
            begins = dataset.sample_index[:-1, 0]
            first = max(int(np.searchsorted(begins, at, side="left")) - 1, 0)
            for index in range(first, int(np.searchsorted(begins, at, side="right"))):
                inner = int(unshuffled[index])
                if hasattr(top, "datasets"):
                    hits = np.flatnonzero(
                        (top.dataset_index == which) & (top.dataset_sample_index == inner)
                    )
                    found += hits.tolist()
                else:
                    found.append(inner)
    return sorted(set(found))


def _shard_sample(top: Any, index: int) -> tuple[Any, int]:
    """Sample `index` of a pass -> (GPTDataset of its shard, index within that)."""
    if hasattr(top, "datasets"):
        return top.datasets[top.dataset_index[index]], int(top.dataset_sample_index[index])
    return top, index


def _shard_name(dataset: Any) -> str:
    return Path(dataset.dataset.path_prefix).name


def _open(
    parser: argparse.ArgumentParser, argv: list[str]
) -> tuple[argparse.Namespace, PretrainConfig | None]:
    args = parse_flags(parser, argv)
    cfg = load(PretrainConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return args, None
    return args, cfg


def _blend_of(cfg: PretrainConfig, segments: tuple[Segment, ...], number: int) -> Blend:
    """The blend of one segment; that of the config for a run that has not begun."""
    run = Path(cfg.output)
    segment = segments[number] if segments else None
    if segment is not None:
        blend = [SourceConfig(s["name"], s["tokens"], s["weight"]) for s in segment.sources]
        alone = [source.tokens for source in blend] == [""]
        cfg = replace(cfg, data=replace(cfg.data, blend=[] if alone else blend))
    data = open_blend(read_sources(cfg.data, run), cfg, "train", run / "pretrain" / "index")
    if segment is not None:
        for source, identity in zip(segment.sources, data.identities, strict=True):
            if source["identity"] != identity:
                raise SeedbedError(
                    f"the tokens of {source['name']} at {source['tokens'] or run / 'tokens'} are "
                    f"not those that steps from {segment.step + 1} on have read",
                    "put the former tokens back to ask about these steps",
                )
        data.begin_at(segment.since, segment.read)
    return data


def _names(manifest: Manifest, wanted: Expression) -> dict[tuple[str, int], dict[str, Any]]:
    """(shard, document number) -> document_id, epoch, repo, language and paths.

    wanted: a filter on the training rows of token_index. {} where no tables lie beside the token
    folder.
    """
    tables = manifest.folder.parent / "tables"
    if not (tables / "token_index" / "_delta_log").is_dir():
        return {}

    def rows(name: str, columns: list[str], which: Expression) -> list[dict[str, Any]]:
        table = DeltaTable(tables / name, version=manifest.tables[name])
        return table.to_pyarrow_table(columns=columns, filters=which).to_pylist()

    packed = rows(
        "token_index",
        ["document_id", "epoch", "shard_file", "document_number"],
        wanted & (field("split") == "train"),
    )
    if not packed:
        return {}
    ids = field("document_id").isin({row["document_id"] for row in packed})
    documents = {
        row["document_id"]: row
        for row in rows("documents", ["document_id", "repo", "language", "parts"], ids)
    }
    named = {}
    for row in packed:
        document = documents.get(row["document_id"], {})
        named[row["shard_file"].removesuffix(".bin"), row["document_number"]] = {
            "document_id": row["document_id"],
            "epoch": row["epoch"],
            "repo": document.get("repo"),
            "language": document.get("language"),
            "paths": [part["path"] for part in document.get("parts") or []],
        }
    return named
