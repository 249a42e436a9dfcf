"""The fixtures that the tests of near dedup share."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from seedbed.kernels.near_dup import minhash
from seedbed.kernels.near_dup.shingles import Hashes, distinct, shingle_hashes
from spark_jobs.runtime.store import Store
from tests.spark_jobs.near import NEAR, TEXTS, sha, sign_and_cluster


@pytest.fixture(scope="session")
def clustered(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A run over TEXTS of near.py, clustered in three partitions."""
    return sign_and_cluster(spark, tmp_path_factory.mktemp("clustered"), seed=2, parts=3)


@pytest.fixture(scope="session")
def near_hashes() -> Hashes:
    return shingle_hashes(pa.array(TEXTS), NEAR.shingle)


@pytest.fixture(scope="session")
def sets(near_hashes: Hashes) -> dict[str, set[int]]:
    """SHA-256 of every text -> its shingles."""
    bounds = itertools.pairwise(near_hashes.offsets)
    return {
        sha(t): set(near_hashes.values[a:b].tolist())
        for t, (a, b) in zip(TEXTS, bounds, strict=True)
    }


@pytest.fixture(scope="session")
def keys(near_hashes: Hashes) -> dict[str, np.ndarray]:
    """SHA-256 of every text -> its bucket in every band."""
    signature = minhash.signatures(distinct(near_hashes), NEAR.num_perm, NEAR.seed)
    return dict(
        zip(map(sha, TEXTS), minhash.band_keys(signature, NEAR.bands, NEAR.rows), strict=True)
    )
