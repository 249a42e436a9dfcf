"""Compares the contents of whole candidate components, each text read once.

A candidate component is what the stars link, before any text is read. It holds every star of its
members as a whole. So whoever has the texts of a component can draw its stars from the texts
alone, verify their pairs, and give the failed ones their second look. Small components share a bin
(bins.py). One of more than MOST bytes or near.component_cap contents, or with a hot bucket, which
is cut by other rules, is left to verification.py, pair by pair. The rows are the same either way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.schema.curate import NearSettings
from seedbed.kernels.near_dup import minhash
from seedbed.kernels.near_dup.evidence import Documents
from spark_jobs.near_dup.bins import Binned, apply_to_bins, text_cost, with_bin
from spark_jobs.near_dup.verification import Materialize, evidence_rows, signing_of
from spark_jobs.runtime.store import TABLES

# Bytes of text and signatures of one component. A worker holds about three times as many.
MOST = 64 << 20


def in_bins(
    components: DataFrame, contents: DataFrame, near: NearSettings, materialize: Materialize
) -> tuple[Binned, DataFrame]:
    """(binned, large): (content_sha256, bin) and (content_sha256), of the candidates.

    components: (content_sha256, component_id, cut). contents: (content_sha256, bytes).
    """
    costs = contents.select("content_sha256", text_cost().alias("cost"))
    sized = materialize(components.join(costs, "content_sha256"), "candidate components")
    sizes = sized.groupBy("component_id").agg(
        F.sum("cost").alias("cost"), F.count("*").alias("size"), F.max("cut").alias("cut")
    )
    small = (F.col("cost") <= MOST) & (F.col("size") <= near.component_cap) & ~F.col("cut")
    found = with_bin(sizes.filter(small), ["component_id"])
    bins = materialize(found.rows.select("component_id", "bin"), "bins of components")
    binned = sized.join(bins, "component_id").select("content_sha256", "bin")
    large = sized.join(bins, "component_id", "left_anti").select("content_sha256")
    return Binned(binned, found.tasks), large


def compare_components(binned: Binned, contents: DataFrame, near: NearSettings) -> DataFrame:
    """Rows of `near_edges` and `near_misses`, of both looks.

    binned: (content_sha256, bin). contents: (content_sha256, text).
    """
    texts = binned.rows.join(contents.select("content_sha256", "text"), "content_sha256")
    return apply_to_bins(Binned(texts, binned.tasks), _comparer(near), TABLES["near_edges"].ddl)


def _comparer(near: NearSettings) -> Callable[[pa.Table], Any]:
    signing, bands, rows, threshold = signing_of(near), near.bands, near.rows, near.threshold

    def compare_bin(table: pa.Table) -> pa.Table:
        documents = Documents.of(table["text"], signing)
        # The smallest hash of a bucket is the hub.
        ranked = pc.sort_indices(table["content_sha256"]).to_numpy().astype(np.int64)
        keys = minhash.band_keys(documents.signature, bands, rows)[ranked]
        return evidence_rows(table["content_sha256"], documents.both_looks(ranked, keys, threshold))

    return compare_bin
