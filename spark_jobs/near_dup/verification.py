"""Verifies pairs one by one: the true Jaccard similarity of every given pair, from the texts.

It is for pairs whose candidate component is too large to be held (one_pass.py), and for runs where
most pairs have been compared before. Pairs are packed into bins, and a bin gets the text of each
content that its pairs name once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.schema.curate import NearSettings
from seedbed.kernels.near_dup.evidence import Documents, Evidence, Signing
from seedbed.kernels.near_dup.stars import Pairs
from spark_jobs.near_dup.bins import Binned, apply_to_bins, text_cost, with_bin
from spark_jobs.runtime.store import TABLES

Materialize = Callable[[DataFrame, str], DataFrame]


def verify(
    pairs: DataFrame, contents: DataFrame, near: NearSettings, materialize: Materialize
) -> DataFrame:
    """Rows of `near_edges` or `near_misses` for the pairs (a, b, band) of binary hashes.

    contents: (content_sha256, text, bytes). The estimate is computed anew from the shingles. It has
    the same bits as one from the stored signatures, but no kilobyte per row has to be moved.
    """
    if pairs.isEmpty():
        return pairs.sparkSession.createDataFrame([], TABLES["near_edges"].schema)
    sizes = contents.select(F.col("content_sha256").alias("end"), text_cost().alias("cost"))
    sized = pairs.select(hexadecimal("a").alias("a"), hexadecimal("b").alias("b"), "band")
    for end in ("a", "b"):
        theirs = sizes.withColumnsRenamed({"end": end, "cost": f"{end}_cost"})
        sized = sized.join(theirs, end)
    # The text of a hub that several pairs share counts for each: the bin is smaller for it.
    costly = sized.withColumn("cost", F.col("a_cost") + F.col("b_cost"))
    found = with_bin(costly, ["a", "b"])
    binned = materialize(found.rows.select("bin", "a", "b", "band"), "bins of pairs")
    ends = binned.select("bin", F.col("a").alias("content_sha256")).unionByName(
        binned.select("bin", F.col("b").alias("content_sha256"))
    )
    texts = ends.distinct().join(contents.select("content_sha256", "text"), "content_sha256")
    rows = texts.select(
        "bin", F.col("content_sha256").alias("a"), "text", *_null("b string", "band int")
    ).unionByName(binned.select("bin", "a", "b", "band", *_null("text string")))
    return apply_to_bins(Binned(rows, found.tasks), _comparer(near), TABLES["near_edges"].ddl)


def _comparer(near: NearSettings) -> Callable[[pa.Table], pa.Table]:
    signing = signing_of(near)

    def compare_bin(table: pa.Table) -> pa.Table:
        is_pair = table["band"].is_valid()
        pairs, texts = table.filter(is_pair), table.filter(pc.invert(is_pair))
        left, right = (pc.index_in(pairs[end], value_set=texts["a"]) for end in ("a", "b"))
        if left.null_count or right.null_count:
            raise RuntimeError("a bin lacks the text of a content that one of its pairs names")
        found = Documents.of(texts["text"], signing).compare(
            Pairs(*(column.to_numpy().astype(np.int64) for column in (left, right, pairs["band"])))
        )
        return evidence_rows(texts["a"], [found])

    return compare_bin


def signing_of(near: NearSettings) -> Signing:
    return Signing(near.shingle, near.num_perm, near.seed)


def evidence_rows(hashes: pa.ChunkedArray, found: list[Evidence]) -> pa.Table:
    """Rows of `near_edges` or `near_misses`; hashes: the hash of each document of the evidence."""
    parts = [
        {
            "a": hashes.take(pa.array(evidence.pairs.left)).cast(pa.string()),
            "b": hashes.take(pa.array(evidence.pairs.right)).cast(pa.string()),
            "band": pa.array(evidence.pairs.band, pa.int32()),
            "jaccard_estimate": pa.array(evidence.estimate),
            "jaccard": pa.array(evidence.jaccard),
        }
        for evidence in found
    ]
    return pa.concat_tables([pa.table(part) for part in parts])


def _null(*columns: str) -> list[Column]:
    named = (column.split() for column in columns)
    return [F.lit(None).cast(kind).alias(name) for name, kind in named]


def hexadecimal(column: str) -> Column:
    """A binary column as lower-case hexadecimal digits."""
    return F.lower(F.hex(column))
