"""contents -> contamination: finds contents that share a run of words with a benchmark.

    spark-submit spark_jobs/decontaminate.py --config conf/curate/local.yaml output=DIR

There is one row per content and benchmark (Sec 4). Where they share a run of
`decontaminate.ngram` words, item and ngram hold the smallest (item, ngram) found, else null.
seedbed/kernels/ngrams.py defines words and short texts, and seedbed/benchmarks.py which fields of a
benchmark count.

A benchmark's name holds the hash of its file. So a new or changed benchmark costs only itself, and
old rows stay true. The rule is literal: a benchmark that spells out `0 1 2 3 4 5 6 7 8 9`
(HumanEval/78) also finds number tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import run_cli
from seedbed import benchmarks
from seedbed.kernels.ngrams import NgramIndex, smallest_hits
from spark_jobs.runtime import python_map
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import ShardJob, main
from spark_jobs.runtime.store import TABLES


def params(ctx: Context) -> dict[str, Any]:
    """All that a row depends on besides the content and the benchmark."""
    return {"ngram": ctx.cfg.decontaminate.ngram, "words": "ascii-folded [a-z0-9_] and >= 0x80"}


def due(ctx: Context) -> DataFrame:
    """Every pair of content and benchmark: the columns of contents and `benchmark`."""
    names = [F.lit(benchmarks.identity(source)) for source in ctx.cfg.decontaminate.benchmarks]
    contents = ctx.inputs["contents"]
    return contents.withColumn("benchmark", F.explode(F.array(*names).cast("array<string>")))


def transform(rows: DataFrame, ctx: Context) -> DataFrame:
    """Rows of `contamination` for the due pairs (content_sha256, text, benchmark, shard)."""
    setting = ctx.cfg.decontaminate
    indexes = {}
    for source in setting.benchmarks:
        name = benchmarks.identity(source)
        indexes[name] = _index(source, name, setting.ngram)

    def scan(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from scan_batch(batch, indexes)

    columns = rows.select("content_sha256", "text", "benchmark", "shard")
    return python_map.map_in_arrow(columns, scan, TABLES["contamination"].ddl, by_row=True)


def scan_batch(batch: pa.RecordBatch, indexes: dict[str, NgramIndex]) -> Iterator[pa.RecordBatch]:
    """Rows of `contamination` for one batch of due pairs, benchmark by benchmark."""
    table = pa.Table.from_batches([batch])
    names = table["benchmark"].to_pylist()
    for name in sorted(set(names)):
        part = table.filter(pa.array([n == name for n in names]))
        hits = smallest_hits(part["text"], indexes[name])
        yield pa.RecordBatch.from_pydict(
            {
                "content_sha256": part["content_sha256"].combine_chunks(),
                "benchmark": part["benchmark"].combine_chunks(),
                "item": pa.array([hit and hit[0] for hit in hits], pa.string()),
                "ngram": pa.array([hit and hit[1] for hit in hits], pa.string()),
                "shard": part["shard"].combine_chunks(),
            }
        )


# The job asks once per shard. `identity` in the key makes a changed file a miss of the cache.
@lru_cache(maxsize=8)
def _index(source: str, identity: str, ngram: int) -> NgramIndex:
    benchmark = benchmarks.load(source)
    return NgramIndex.build(list(benchmark.texts), ngram)


def asked(ctx: Context) -> dict[str, Any]:
    """The benchmarks, each with the hash of its file."""
    return {"benchmarks": [benchmarks.identity(one) for one in ctx.cfg.decontaminate.benchmarks]}


JOB = ShardJob("decontaminate", "contamination", params, transform, due=due, asked=asked)

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
