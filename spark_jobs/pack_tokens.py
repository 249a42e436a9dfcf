"""spark-submit spark_jobs/pack_tokens.py --config conf/curate/local.yaml output=DIR [key=value ...]

documents + DIR/tokens/tokenizer -> DIR/tokens/{train,val}-NNNNN.{bin,idx}, table token_index,
DIR/tokens/manifest.json.

A sample is a document in one epoch. sha256(seed, document_id, epoch) gives it its shard (leading
digits) and its place in the shard (order), so neither depends on partitions or machines;
fill-in-the-middle hangs on the same three (seedbed/kernels/tokens/fim.py).
Executors encode and write: a shard is a partition, finished by a record of its own, so a killed run
keeps whole shards (shard_files.py). The manifest is taken away first and comes back last: where it
stands, all that it names does too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from tokenizers import Tokenizer

from conf.errors import SeedbedError, run_cli
from conf.loader import config_hash
from seedbed import storage
from seedbed.kernels.tokens.indexed_dataset import token_dtype
from seedbed.kernels.tokens.packing import (
    END_OF_TEXT,
    PAD,
    Packer,
    Sample,
    shard_count,
    special_ids,
)
from spark_jobs.documents import token_shards
from spark_jobs.documents.text import with_text
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import CustomJob, Summary, main
from spark_jobs.runtime.progress import task_progress
from spark_jobs.runtime.store import TABLES

MANIFEST = "tokens/manifest.json"
NO_TRAINING = SeedbedError(
    "table documents holds no training document, so there is nothing to pack",
    "loosen select.* (python -m spark_jobs funnel output=DIR tells what took the rest) or give more input",
)


@dataclass(frozen=True)
class Plan:
    """Every sample (document_id, split, epoch, parts, bytes, key, number) and, by that number, the
    shards they fall to.
    """

    samples: DataFrame
    # number -> file name; numbers that no sample falls to are left out
    names: dict[int, str]
    # number -> samples
    counts: dict[int, int]


def run(ctx: Context) -> Summary | None:
    """Write what is missing; None where the manifest and all it names stand, made from these
    documents and this config.
    """
    root, setting = ctx.cfg.output, ctx.cfg.tokens
    tokenizer_json = storage.read_text(root, "tokens/tokenizer/tokenizer.json")
    if tokenizer_json is None:
        raise SeedbedError(
            f"there is no tokenizer at {root}/tokens/tokenizer",
            "run spark_jobs/train_tokenizer.py first (python -m spark_jobs run does all in order)",
        )
    tokenizer = describe(tokenizer_json)
    params = {
        "fim_rate": setting.fim_rate,
        "seed": setting.seed,
        "shard_tokens": setting.shard_tokens,
    }
    lineage = ctx.lineage(
        "pack_tokens", {**params, "tokenizer": tokenizer["sha256"]}, ("documents",)
    )
    made_from = config_hash(lineage)
    if _stands(ctx, lineage, made_from):
        return None

    storage.delete(root, MANIFEST)
    plan = plan_samples(ctx)
    done = token_shards.finished(root, made_from)
    token_shards.clear_others(root, done)
    missing = {number: name for number, name in plan.names.items() if name not in done}
    if missing:
        due = plan.samples.filter(F.col("number").isin(list(missing)))
        with task_progress(ctx.spark.sparkContext, "pack_tokens"):
            ctx.spark.sparkContext.setJobDescription(f"pack_tokens: {len(missing)} shards")
            write(
                encode(due, tokenizer_json, ctx),
                missing,
                token_dtype(tokenizer["vocab_size"]),
                made_from,
                ctx,
            )
        done = token_shards.finished(root, made_from)
    shards = [_checked(done[name], plan.counts[number]) for number, name in plan.names.items()]

    version = ctx.store.overwrite("token_index", index_rows(plan, root), lineage)
    manifest = {
        "version": 1,
        "tokenizer": tokenizer,
        "dtype": token_dtype(tokenizer["vocab_size"]),
        "shards": shards,
        "tables": {"documents": ctx.inputs.version("documents"), "token_index": version},
        "config_hash": made_from,
    }
    storage.write_text(root, MANIFEST, json.dumps(manifest, indent=2) + "\n")
    return Summary(
        "pack_tokens",
        rows_in=sum(plan.counts.values()),
        rows_out=sum(shard["documents"] for shard in shards),
        bytes_in=plan.samples.agg(F.sum("bytes")).first()[0],
        tables={"token_index": version},
        notes={
            f"{split}_tokens": sum(s["tokens"] for s in shards if s["split"] == split)
            for split in ("train", "val")
        },
    )


def plan_samples(ctx: Context) -> Plan:
    """Documents x epochs, each with its key and shard.

    Raises SeedbedError where there is nothing to train on.
    """
    documents = ctx.inputs["documents"]
    sums = (
        documents.groupBy("split")
        .agg(F.sum(F.col("bytes") * F.col("epochs")).alias("size"))
        .collect()
    )
    sizes = {"train": 0, "val": 0} | {row["split"]: row["size"] for row in sums}
    if not sizes["train"]:
        raise NO_TRAINING
    train, val = (
        shard_count(sizes[split], ctx.cfg.tokens.shard_tokens) for split in ("train", "val")
    )

    epoch = F.explode(F.sequence(F.lit(0), F.col("epochs") - 1)).alias("epoch")
    samples = documents.select("document_id", "split", "parts", "bytes", epoch)
    seed = F.lit(str(ctx.cfg.tokens.seed))
    samples = samples.withColumn(
        "key", F.sha2(F.concat_ws("\0", seed, "document_id", "epoch"), 256)
    )
    leading = F.conv(F.substring("key", 1, 8), 16, 10).cast("long")
    number = F.when(F.col("split") == "train", F.floor(leading * train / 2**32))
    number = number.otherwise(train + F.floor(leading * val / 2**32)).cast("int")
    samples = samples.withColumn("number", number)

    counts = {
        row["number"]: row["count"]
        for row in samples.groupBy("number").count().orderBy("number").collect()
    }
    names = {n: f"train-{n:05d}" if n < train else f"val-{n - train:05d}" for n in counts}
    return Plan(samples, names, counts)


def encode(samples: DataFrame, tokenizer_json: str, ctx: Context) -> DataFrame:
    """Samples -> number, key, tokens: the bytes that the sample adds to its shard."""
    fim_rate, seed = ctx.cfg.tokens.fim_rate, ctx.cfg.tokens.seed
    shared = ctx.spark.sparkContext.broadcast(tokenizer_json)

    def encode_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        packer = Packer(shared.value, fim_rate, seed)
        for batch in batches:
            columns = [
                batch[name].to_pylist() for name in ("document_id", "epoch", "split", "text")
            ]
            tokens = packer.encode([Sample(*row) for row in zip(*columns, strict=True)])
            rows = {
                "number": batch["number"],
                "key": batch["key"],
                "tokens": pa.array(tokens, pa.binary()),
            }
            yield pa.RecordBatch.from_pydict(rows)

    with_texts = with_text(samples, ctx.inputs["contents"])
    wanted = with_texts.select("document_id", "epoch", "split", "text", "number", "key")
    return wanted.mapInArrow(encode_batches, "number int, key string, tokens binary")


def write(rows: DataFrame, names: dict[int, str], dtype: str, made_from: str, ctx: Context) -> None:
    """Write the shards `names` from the rows of `encode`, each in one task."""
    root = ctx.cfg.output

    def write_shards(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        attempt = TaskContext.get().taskAttemptId()  # type: ignore[union-attr]
        pairs = chain.from_iterable(
            zip(b["number"].to_pylist(), b["tokens"].to_pylist(), strict=True) for b in batches
        )
        for number, group in groupby(pairs, key=itemgetter(0)):
            token_shards.write_shard(
                root, names[number], (tokens for _, tokens in group), dtype, made_from, attempt
            )
            yield pa.RecordBatch.from_pydict({"number": pa.array([number], pa.int32())})

    written = by_shard(rows, max(names) + 1).mapInArrow(write_shards, "number int").count()
    if written != len(names):
        raise SeedbedError(
            f"{len(names)} shards were due, {written} were written: texts are missing from table contents",
            "table contents has changed since documents was written: run spark_jobs/select_documents.py again",
        )


def by_shard(rows: DataFrame, shards: int) -> DataFrame:
    """`rows` with one shard (column number) a partition, in the order of `key`."""
    return rows.repartitionById(shards, F.col("number")).sortWithinPartitions("number", "key")


def index_rows(plan: Plan, root: str) -> DataFrame:
    """Rows of token_index: the plan says which sample is where, the .idx files how long each is."""
    names = plan.names

    def locate(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        first, lengths, offsets = 0, np.zeros(0, np.int32), np.zeros(0, np.int64)
        name = ""
        for batch in batches:
            # a partition is a shard
            if not name:
                name = names[batch["number"][0].as_py()]
                lengths = token_shards.lengths(root, name)
                offsets = np.cumsum(lengths, dtype=np.int64) - lengths
            here = slice(first, first + batch.num_rows)
            first = here.stop
            yield pa.RecordBatch.from_pydict(
                {
                    **{column: batch[column] for column in ("document_id", "epoch", "split")},
                    "shard_file": pa.array([f"{name}.bin"] * batch.num_rows),
                    "document_number": pa.array(np.arange(here.start, here.stop)),
                    "offset": pa.array(offsets[here]),
                    "tokens": pa.array(lengths[here].astype(np.int64)),
                }
            )

    rows = plan.samples.select("document_id", "epoch", "split", "number", "key")
    return by_shard(rows, max(names) + 1).mapInArrow(locate, TABLES["token_index"].schema)


def describe(tokenizer_json: str) -> dict[str, Any]:
    """The manifest's entry for the tokenizer."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    ids = special_ids(tokenizer)
    return {
        "path": "tokenizer",
        "sha256": token_shards.sha256(tokenizer_json.encode()),
        "vocab_size": tokenizer.get_vocab_size(),
        "eod": ids[END_OF_TEXT],
        "pad": ids[PAD],
        "special_tokens": ids,
    }


def _stands(ctx: Context, lineage: dict[str, Any], made_from: str) -> bool:
    manifest = json.loads(storage.read_text(ctx.cfg.output, MANIFEST) or "{}")
    index = ctx.store.last_commit("token_index")
    if manifest.get("config_hash") != made_from or index is None or index.lineage != lineage:
        return False
    whole = token_shards.finished(ctx.cfg.output, made_from)
    return all(shard["prefix"] in whole for shard in manifest["shards"])


def _checked(shard: dict[str, Any], samples: int) -> dict[str, Any]:
    if shard["documents"] != samples:
        raise SeedbedError(
            f"shard {shard['prefix']} got {shard['documents']} documents, {samples} were due: texts are missing from contents",
            "table contents has changed since documents was written: run spark_jobs/select_documents.py again",
        )
    return shard


JOB = CustomJob("pack_tokens", ("token_index",), run, ("documents", "contents"))

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
