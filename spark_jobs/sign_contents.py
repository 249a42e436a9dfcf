"""contents -> signatures: one MinHash signature per content, for near dedup.

    spark-submit spark_jobs/sign_contents.py --config conf/curate/local.yaml output=DIR

Texts reach the kernels as Arrow buffers. The column `shingles` counts a content's shingles with
repeats. It is 0 for a content without tokens, whose signature falls into no bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from conf.errors import run_cli
from conf.schema.curate import NearSettings
from seedbed.kernels.near_dup import minhash
from seedbed.kernels.near_dup.shingles import shingle_hashes
from spark_jobs.runtime import python_map
from spark_jobs.runtime.context import FEW, Context
from spark_jobs.runtime.job import ShardJob, main
from spark_jobs.runtime.store import TABLES


def parameters(ctx: Context) -> dict[str, Any]:
    """All that a signature depends on besides the text."""
    near = ctx.cfg.near
    return minhash.parameters(near.num_perm, near.shingle, near.seed)


def sign(due: DataFrame, ctx: Context) -> DataFrame:
    """Rows of `signatures` for the due rows of `contents`."""
    rows = due.select("content_sha256", "text", "shard")
    return python_map.map_in_arrow(
        rows, _signer(ctx.cfg.near), TABLES["signatures"].ddl, by_row=True
    )


def _signer(near: NearSettings) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def sign_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            hashes = shingle_hashes(batch["text"], near.shingle)
            signature = minhash.signatures(hashes, near.num_perm, near.seed)
            yield pa.RecordBatch.from_pydict(
                {
                    "content_sha256": batch["content_sha256"],
                    "signature": minhash.to_binary(signature),
                    "shingles": pa.array(hashes.counts, pa.int32()),
                    "shard": batch["shard"],
                }
            )

    return sign_batches


JOB = ShardJob(
    name="sign_contents",
    output="signatures",
    params=parameters,
    transform=sign,
    at_once=FEW,
    prune=True,
)

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
