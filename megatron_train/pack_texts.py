"""Texts of files -> DIR/tokens: token shards with a manifest, without Spark.

    python -m megatron_train.pack_texts --texts PATH ... --tokenizer FOLDER --output DIR \\
        [--field text] [--id FIELD] [--split FIELD] [--val-share 0.01] [--workers N]

Texts are JSON lines (plain, .gz or .zst), Parquet or Arrow files, or folders of them, such as a
data set that was downloaded or saved. The shards are those that spark_jobs/pack_tokens.py writes of
the same documents: a special token that a text spells is plain text, an end token follows each
document, and shards and order depend on seed and ids alone, and not on the number of workers.
Nothing is filtered: curate what needs it. Rows without a text are refused, or left out and counted
where --max-bad allows so many.

A tokenizer with other special tokens than ours is told by --special, such as
`--special end=</s> --special fim_prefix=<PRE>`. Each flag may also be written as key=value.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from conf.errors import SeedbedError, run_cli
from conf.flags import flag_parser, parse_flags
from conf.loader import config_hash
from conf.schema.ranges import Count, CountOrNone, Few, Seed, Share, check_number
from megatron_train.data.text_rows import BadRow, Fields, FilePart, parts, rows
from seedbed.files import copy_tokenizer, fresh_partial, replace_folder
from seedbed.kernels.tokens.indexed_dataset import IndexedDatasetWriter, token_dtype
from seedbed.kernels.tokens.packing import (
    DocumentSample,
    Packer,
    SpecialNames,
    shard_count,
)
from seedbed.kernels.tokens.sample_order import sample_key, shard_number
from seedbed.special_names import ROLES, Wording, describe, special_names

# Documents that one call of the tokenizer encodes.
BATCH = 256
_RANGES = {
    "val_share": Share,
    "fim_rate": Share,
    "seed": Seed,
    "epochs": Few,
    "shard_tokens": Count,
    "workers": Few,
    "max_bad": CountOrNone,
}


@dataclass(frozen=True)
class PackSettings:
    """All that the tokens depend on, besides the texts. epochs are those of training texts.

    max_bad: rows that may be left out because they are no documents.
    """

    tokenizer_json: str
    names: SpecialNames
    fields: Fields
    val_share: float
    fim_rate: float
    seed: int
    epochs: int
    shard_tokens: int
    max_bad: int


@dataclass(frozen=True)
class _Shards:
    """How many shards each split has."""

    train: int
    val: int

    def name(self, split: str, key: str) -> str:
        return f"{split}-{shard_number(key, self.train if split == 'train' else self.val):05d}"


def main(argv: list[str]) -> int:
    args = _arguments(argv)
    folder, target = Path(args.tokenizer), Path(args.output) / "tokens"
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise SeedbedError(f"{folder} holds no tokenizer.json", "give the folder of a tokenizer")
    text, config = file.read_text(encoding="utf-8"), folder / "tokenizer_config.json"
    settings = PackSettings(
        tokenizer_json=text,
        names=special_names(
            text,
            config.read_text(encoding="utf-8") if config.is_file() else None,
            _told(args.special),
            args.fim_rate,
            Wording(str(folder), "--special {role}=TOKEN", "--fim-rate 0"),
        ),
        fields=Fields(args.field, args.id, args.split),
        val_share=args.val_share,
        fim_rate=args.fim_rate,
        seed=args.seed,
        epochs=args.epochs,
        shard_tokens=args.shard_tokens,
        max_bad=args.max_bad,
    )
    some = parts([Path(path) for path in args.texts])
    if (target / "manifest.json").is_file():
        raise SeedbedError(
            f"{target} holds tokens already", "give another --output, or remove that folder"
        )
    print(pack(settings, some, folder, target, args.workers))
    return 0


def pack(
    settings: PackSettings, some: list[FilePart], tokenizer: Path, target: Path, workers: int
) -> str:
    """Writes the token folder `target` whole or not at all, and says what is in it.

    Raises:
        SeedbedError: for a text that cannot be read, an id with two texts, and no training text.
    """
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        sizes: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        bad: list[BadRow] = []
        for found, ids, refused in pool.map(_measure, some, [settings] * len(some)):
            sizes += found
            seen += ids
            bad += refused
        _refuse_bad(bad, settings.max_bad)
        shards = _planned(settings, sizes, seen)
        partial = fresh_partial(target)
        spool = partial / "spool"
        spool.mkdir()
        spools = [spool / f"{number:06d}.parquet" for number in range(len(some))]
        list(pool.map(_encode, some, spools, [settings] * len(some), [shards] * len(some)))
        found = (pq.read_table(one, columns=["shard"])["shard"] for one in spools)
        names = sorted({name for one in found for name in one.to_pylist()})
        dtype = _dtype(settings)
        written = list(
            pool.map(_write, names, [spool] * len(names), [partial] * len(names),
                     [dtype] * len(names))
        )  # fmt: skip
    shutil.rmtree(spool)
    (partial / "tokenizer").mkdir()
    copy_tokenizer(tokenizer, partial / "tokenizer")
    manifest = {
        "version": 1,
        "tokenizer": describe(settings.tokenizer_json, settings.names),
        "dtype": dtype,
        "shards": written,
        "tables": {},
        "config_hash": config_hash(settings),
    }
    (partial / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    replace_folder(partial, target)
    return "\n".join([*_said(target, written, seen, settings), *_told_bad(bad)])


def _told(words: list[str]) -> dict[str, str]:
    """Role -> token of the words of --special."""
    told: dict[str, str] = {}
    for word in words:
        role, _, name = word.partition("=")
        if role not in ROLES or not name:
            raise SeedbedError(f"--special {word} is no role=TOKEN", f"roles: {', '.join(ROLES)}")
        told[role] = name
    return told


def _split(settings: PackSettings, document_id: str, split: str) -> str:
    """The split that a row says, or else one drawn by its id."""
    if split:
        return split
    draw = hashlib.sha256(f"val\0{settings.seed}\0{document_id}".encode()).digest()
    drawn = int.from_bytes(draw[:8], "big") < int(settings.val_share * 2**64)
    return "val" if drawn else "train"


def _measure(
    part: FilePart, settings: PackSettings
) -> tuple[Counter[str], Counter[str], list[BadRow]]:
    """Of a part: bytes by split, with epochs; documents by the hash of id and text; bad rows."""
    sizes: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    bad: list[BadRow] = []
    for row in rows(part, settings.fields):
        if isinstance(row, BadRow):
            bad.append(row)
            # A file with another field has nothing but bad rows.
            if len(bad) > settings.max_bad:
                break
            continue
        if not row.text:
            seen["empty"] += 1
            continue
        split = _split(settings, row.document_id, row.split)
        epochs = settings.epochs if split == "train" else 1
        sizes[split] += len(row.text.encode()) * epochs
        same = hashlib.sha256(row.text.encode()).hexdigest()[:16]
        seen[f"{sample_key(0, row.document_id, 0)[:32]} {same}"] += 1
    return sizes, seen, bad


def _refuse_bad(bad: list[BadRow], most: int) -> None:
    if len(bad) <= most:
        return
    first, more = bad[0], f"; there are more than --max-bad {most} such rows" if most else ""
    raise SeedbedError(
        first.problem + more, f"{first.fix}, or leave such rows out by a higher --max-bad"
    )


def _told_bad(bad: list[BadRow]) -> list[str]:
    if not bad:
        return []
    return [f"{len(bad):,} rows are no documents, and are left out; the first: {bad[0].problem}"]


def _planned(settings: PackSettings, sizes: Counter[str], seen: Counter[str]) -> _Shards:
    ids = Counter(one.split()[0] for one in seen if one != "empty")
    twice = sum(count > 1 for count in ids.values())
    if twice:
        raise SeedbedError(
            f"{twice} ids of field {settings.fields.id!r} stand for several texts: their order "
            "would not be theirs alone",
            "name a field of unique ids, or leave --id out",
        )
    if not sizes["train"]:
        raise SeedbedError("there is no training text", "give texts, or a lower --val-share")
    train, val = (shard_count(sizes[split], settings.shard_tokens) for split in ("train", "val"))
    return _Shards(train, val)


def _encode(part: FilePart, spool: Path, settings: PackSettings, shards: _Shards) -> None:
    """The samples of a part, as rows (shard, key, tokens) of a file, sorted."""
    packer = Packer(settings.tokenizer_json, settings.fim_rate, settings.seed, settings.names)
    found: list[tuple[str, str, bytes]] = []
    for batch in _batches(part, settings):
        keys = [sample_key(settings.seed, s.document_id, s.epoch) for s in batch]
        for sample, key, tokens in zip(batch, keys, packer.encode(batch), strict=True):
            found.append((shards.name(sample.split, key), key, tokens))
    found.sort(key=lambda one: one[:2])
    names, keys, tokens = zip(*found, strict=True) if found else ((), (), ())
    kinds = {"shard": pa.string(), "key": pa.string(), "tokens": pa.large_binary()}
    table = pa.table(
        {name: pa.array(values, kind)
         for (name, kind), values in zip(kinds.items(), (names, keys, tokens), strict=True)}
    )  # fmt: skip
    pq.write_table(table, spool, row_group_size=4096)


def _batches(part: FilePart, settings: PackSettings) -> Iterator[list[DocumentSample]]:
    batch: list[DocumentSample] = []
    for row in rows(part, settings.fields):
        if isinstance(row, BadRow):
            continue
        split = _split(settings, row.document_id, row.split)
        epochs = settings.epochs if split == "train" else 1
        if row.text:
            batch += [DocumentSample(row.document_id, n, split, row.text) for n in range(epochs)]
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(name: str, spool: Path, folder: Path, dtype: str) -> dict[str, Any]:
    """One shard, in order of keys, and its entry of the manifest."""
    mine = pq.read_table(spool, filters=[("shard", "==", name)]).sort_by("key")
    with (folder / f"{name}.bin").open("wb") as stream:
        writer = IndexedDatasetWriter(stream, dtype)
        for tokens in mine["tokens"]:
            writer.add_document(tokens.as_py())
    index = writer.index()
    (folder / f"{name}.idx").write_bytes(index)
    return {
        "split": name.split("-")[0],
        "prefix": name,
        "tokens": writer.tokens,
        "documents": writer.documents,
        "bin_bytes": writer.tokens * np.dtype(dtype).itemsize,
        "bin_sha256": writer.bin_sha256,
        "idx_sha256": hashlib.sha256(index).hexdigest(),
    }


def _dtype(settings: PackSettings) -> str:
    return token_dtype(Tokenizer.from_str(settings.tokenizer_json).get_vocab_size())


def _said(
    target: Path, written: list[dict[str, Any]], seen: Counter[str], settings: PackSettings
) -> list[str]:
    by_split = {
        split: sum(one["tokens"] for one in written if one["split"] == split)
        for split in ("train", "val")
    }
    empty = seen.pop("empty", 0)
    lines = [
        f"{target}: {by_split['train']:,} training and {by_split['val']:,} validation tokens of "
        f"{sum(seen.values()):,} documents in {len(written)} shards, encoded by "
        f"{Packer(settings.tokenizer_json, 0.0, settings.seed, settings.names).note}"
    ]
    copies = sum(seen.values()) - len(seen)
    if copies:
        lines.append(f"{copies:,} documents are copies of others, and are kept")
    if empty:
        lines.append(f"{empty:,} documents are empty, and are left out")
    if not by_split["val"]:
        lines.append("there is no validation text: pretrain with eval_every=0")
    return lines


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = flag_parser("megatron_train.pack_texts", __doc__)
    add = parser.add_argument
    add("--texts", nargs="+", required=True, metavar="PATH", help="files and folders of texts")
    add("--tokenizer", required=True, metavar="FOLDER", help="a folder with tokenizer.json")
    add("--output", required=True, metavar="DIR", help="the run: DIR/tokens is written")
    add("--field", default="text", help="of the text")
    add("--id", default="", metavar="FIELD", help="of an id (default: the text's SHA-256)")
    add("--split", default="", metavar="FIELD", help="that says train or val (default: drawn)")
    add("--val-share", type=float, default=0.01, help="of the documents, drawn by their ids")
    add("--fim-rate", type=float, default=0.0, help="share of training texts in FIM form")
    add("--seed", type=int, default=1)
    add("--epochs", type=int, default=1, help="of training texts")
    add("--shard-tokens", type=int, default=50_000_000, help="about so many in one shard")
    add("--special", action="append", default=[], metavar="ROLE=TOKEN",
        help="end, pad, fim_suffix, fim_prefix or fim_middle of a foreign tokenizer")  # fmt: skip
    add("--max-bad", type=int, default=0, help="rows that may be left out as no documents")
    add("--workers", type=int, default=1, help="processes that read and encode")
    args = parse_flags(parser, argv)
    for name, hint in _RANGES.items():
        check_number(f"--{name.replace('_', '-')}", hint, getattr(args, name))
    return args


# The condition matters: the workers import this file.
if __name__ == "__main__":
    run_cli(main)
