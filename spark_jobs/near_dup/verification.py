"""Verifies edges: the true Jaccard similarity of every proposed pair, from the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.schema.curate import NearSettings
from seedbed.kernels.near_dup import minhash
from seedbed.kernels.near_dup.jaccard import jaccard
from seedbed.kernels.near_dup.shingles import distinct, shingle_hashes
from spark_jobs.runtime.store import TABLES

# Stands in `band` of the row that carries a hub's own text.
HUB = -1


Batches = Iterator[pa.RecordBatch]


def verify(pairs: DataFrame, contents: DataFrame, near: NearSettings) -> DataFrame:
    """Rows of `near_edges` or `near_misses` for the pairs (a, b, band).

    The estimate is computed anew from the shingles. It has the same bits as one from the stored
    signatures, but no kilobyte per row has to be moved.
    """
    pairs = pairs.select(
        hexadecimal("a").alias("hub"), hexadecimal("b").alias("content_sha256"), "band"
    )
    hubs = pairs.select(
        "hub", F.col("hub").alias("content_sha256"), F.lit(HUB).alias("band")
    ).distinct()
    texts = (
        pairs.unionByName(hubs)
        .join(contents, "content_sha256")
        .select("hub", "content_sha256", "band", "text")
    )
    return texts.repartition("hub").mapInArrow(_comparer(near), TABLES["near_edges"].ddl)


def _comparer(near: NearSettings) -> Callable[[Batches], Batches]:
    def compare_batches(batches: Batches) -> Batches:
        # The last hub, whose members may continue in the next batch.
        hub_row: list[pa.RecordBatch] = []
        every = list(batches)
        if not every:
            return
        table = pa.Table.from_batches(every).sort_by([("hub", "ascending"), ("band", "ascending")])
        for batch in table.to_batches(max_chunksize=512):
            batch = pa.concat_batches([*hub_row, batch])
            is_hub = pc.equal(batch["band"], HUB).to_numpy(zero_copy_only=False)
            hub_of = np.maximum.accumulate(np.where(is_hub, np.arange(len(is_hub)), 0))
            members = np.flatnonzero(~is_hub)
            if not batch["hub"].equals(batch["content_sha256"].take(pa.array(hub_of))):
                raise RuntimeError(
                    "rows are not sorted by hub, hub first: another document would be compared"
                )
            sets = distinct(shingle_hashes(batch["text"], near.shingle))
            signature = minhash.signatures(sets, near.num_perm, near.seed)
            rows = batch.take(pa.array(members))
            yield pa.RecordBatch.from_pydict(
                {
                    "a": rows["hub"],
                    "b": rows["content_sha256"],
                    "band": rows["band"],
                    "jaccard_estimate": pa.array(
                        minhash.estimates(signature, hub_of[members], members)
                    ),
                    "jaccard": pa.array(jaccard(sets, hub_of[members], members)),
                }
            )
            hub_row = [batch.slice(int(hub_of[-1]), 1)]

    return compare_batches


def hexadecimal(column: str) -> Column:
    """A binary column as lower-case hexadecimal digits."""
    return F.col(column)
