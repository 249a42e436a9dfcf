"""documents, contents, tokenizer -> token_index, token shards, manifest: the corpus as tokens.

    spark-submit spark_jobs/pack_tokens.py --config conf/curate/local.yaml output=DIR

The job writes DIR/tokens/{train,val}-NNNNN.{bin,idx} and DIR/tokens/manifest.json.

A sample is a document in one epoch. Its key is sha256(seed, document_id, epoch). The leading digits
of the key give the shard, and the order of keys gives the position in the shard. So neither depends
on partitions or machines. Fill in the middle depends on the same three values
(seedbed/kernels/tokens/fim.py).

Executors encode and write. A shard is a partition, and a record of its own marks it as finished. So
a killed run keeps whole shards (spark_jobs/documents/token_shards.py). The manifest is deleted
first and written last: where it exists, all files that it names exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import SeedbedError, run_cli
from conf.loader import config_hash
from seedbed import storage
from seedbed.kernels.tokens.indexed_dataset import token_dtype
from seedbed.kernels.tokens.packing import (
    DocumentSample,
    Packer,
    SpecialNames,
    shard_count,
)
from seedbed.kernels.tokens.text_encoder import FAST
from seedbed.special_names import describe
from spark_jobs.documents import token_shards
from spark_jobs.documents.special_tokens import FOLDER, names_of
from spark_jobs.documents.text import with_text
from spark_jobs.runtime import python_map, session
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.groups import apply_to_groups
from spark_jobs.runtime.job import CustomJob, Summary, main
from spark_jobs.runtime.progress import watch
from spark_jobs.runtime.store import TABLES

MANIFEST = "tokens/manifest.json"
CONTENTS_CHANGED = (
    "table contents has changed since documents was written: "
    "run spark_jobs/select_documents.py again"
)
NO_TRAINING = SeedbedError(
    "table documents holds no training document, so there is nothing to pack",
    "loosen select.* (python -m spark_jobs funnel output=DIR shows the drops) or give more input",
)


_ENCODED = "number int, key string, tokens binary"


@dataclass(frozen=True)
class Plan:
    """Every sample, and the shards.

    samples: (document_id, split, epoch, parts, bytes, key, number); the number is the shard's.
    names: number -> file name, for shards with samples. counts: number -> samples.
    """

    samples: DataFrame
    names: dict[int, str]
    counts: dict[int, int]


def run(ctx: Context) -> Summary | None:
    """Write the shards that are missing.

    Returns None where the manifest and its files exist and were made from these documents and this
    config.
    """
    root, setting = ctx.cfg.output, ctx.cfg.tokens
    tokenizer_json = storage.read_text(root, f"{FOLDER}/tokenizer.json")
    if tokenizer_json is None:
        raise SeedbedError(
            f"there is no tokenizer at {root}/{FOLDER}",
            "run spark_jobs/train_tokenizer.py first (python -m spark_jobs run does all in order)",
        )
    config = storage.read_text(root, f"{FOLDER}/tokenizer_config.json")
    names = names_of(tokenizer_json, config, setting)
    tokenizer = describe(tokenizer_json, names)
    params = {
        "names": vars(names),
        "fim_rate": setting.fim_rate,
        "seed": setting.seed,
        "shard_tokens": setting.shard_tokens,
    }
    lineage = ctx.lineage(
        "pack_tokens", {**params, "tokenizer": tokenizer["sha256"]}, ("documents",)
    )
    made_from = config_hash(lineage)
    if _is_current(ctx, lineage, made_from):
        return None

    ctx.start_engine()
    storage.delete(root, MANIFEST)
    plan = plan_samples(ctx)
    done = token_shards.finished(root, made_from)
    token_shards.clear_others(root, done)
    missing = {number: name for number, name in plan.names.items() if name not in done}
    if missing:
        due = plan.samples.filter(F.col("number").isin(list(missing)))
        ctx.describe(f"pack_tokens: {len(missing)} shards")
        with watch("pack_tokens", "shards", lambda: (written(root, missing), len(missing))):
            write(
                encode(due, tokenizer_json, names, ctx),
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
        }
        | {"encoded_by": encoded_by(Packer(tokenizer_json, 0.0, setting.seed, names))},
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


def encode(samples: DataFrame, tokenizer_json: str, names: SpecialNames, ctx: Context) -> DataFrame:
    """(number, key, tokens) of each sample: the bytes that it adds to its shard."""
    fim_rate, seed = ctx.cfg.tokens.fim_rate, ctx.cfg.tokens.seed

    def encode_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        packer = Packer(tokenizer_json, fim_rate, seed, names)
        for batch in batches:
            columns = [
                batch[name].to_pylist() for name in ("document_id", "epoch", "split", "text")
            ]
            tokens = packer.encode([DocumentSample(*row) for row in zip(*columns, strict=True)])
            rows = {
                "number": batch["number"],
                "key": batch["key"],
                "tokens": pa.array(tokens, pa.binary()),
            }
            yield pa.RecordBatch.from_pydict(rows)

    with_texts = with_text(samples, ctx.inputs["contents"])
    wanted = with_texts.select("document_id", "epoch", "split", "text", "number", "key")
    return python_map.map_in_arrow(wanted, encode_batches, _ENCODED, by_row=True)


def write(rows: DataFrame, names: dict[int, str], dtype: str, made_from: str, ctx: Context) -> None:
    """Write the shards `names` from the rows of `encode`; one task holds a whole shard."""
    root = ctx.cfg.output

    def write_shard(shard: pa.Table) -> pa.Table:
        number = shard["number"][0].as_py()
        tokens = (value.as_py() for value in shard.sort_by("key")["tokens"])
        attempt = uuid4().hex
        token_shards.write_shard(root, names[number], tokens, dtype, made_from, attempt)
        return pa.table({"number": pa.array([number], pa.int32())})

    count = apply_to_groups(rows, "number", _tasks(names), write_shard, "number int").count()
    if count != len(names):
        raise SeedbedError(
            f"{len(names)} shards were due, {count} were written: "
            "texts are missing from table contents",
            CONTENTS_CHANGED,
        )


def written(root: str, names: dict[int, str]) -> int:
    """How many of the shards `names` are written."""
    there = storage.file_sizes(root, token_shards.FOLDER)
    return sum(f"{name}.json" in there for name in names.values())


def index_rows(plan: Plan, root: str) -> DataFrame:
    """Rows of `token_index`: the plan gives each sample's shard, the .idx files its length."""
    names = plan.names

    def locate(shard: pa.Table) -> pa.Table:
        shard = shard.sort_by("key")
        name = names[shard["number"][0].as_py()]
        lengths = token_shards.lengths(root, name).astype(np.int64)
        return pa.table(
            {
                **{column: shard[column] for column in ("document_id", "epoch", "split")},
                "shard_file": pa.array([f"{name}.bin"] * len(shard)),
                "document_number": pa.array(np.arange(len(shard))),
                "offset": pa.array(np.cumsum(lengths) - lengths),
                "tokens": pa.array(lengths),
            }
        )

    rows = plan.samples.select("document_id", "epoch", "split", "number", "key")
    return apply_to_groups(rows, "number", _tasks(names), locate, TABLES["token_index"].ddl)


def _tasks(names: dict[int, str]) -> int:
    """A task per shard, and no fewer than run at once."""
    return max(len(names), session.engine().parallelism)


def encoded_by(packer: Packer) -> str:
    """The library that encodes texts. The slower one is told, with the reason."""
    if packer.note != FAST:
        print(f"pack_tokens: texts are encoded by {packer.note}")
    return packer.note


def _is_current(ctx: Context, lineage: dict[str, Any], made_from: str) -> bool:
    manifest = json.loads(storage.read_text(ctx.cfg.output, MANIFEST) or "{}")
    index = ctx.store.last_commit("token_index")
    if manifest.get("config_hash") != made_from or index is None or index.lineage != lineage:
        return False
    whole = token_shards.finished(ctx.cfg.output, made_from)
    return all(shard["prefix"] in whole for shard in manifest["shards"])


def _checked(shard: dict[str, Any], samples: int) -> dict[str, Any]:
    if shard["documents"] != samples:
        raise SeedbedError(
            f"shard {shard['prefix']} got {shard['documents']} documents, {samples} were due: "
            "texts are missing from contents",
            CONTENTS_CHANGED,
        )
    return shard


JOB = CustomJob("pack_tokens", ("token_index",), run, ("documents", "contents"))

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
