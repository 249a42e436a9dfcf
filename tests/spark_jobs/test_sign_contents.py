"""sign_contents on Delta tables: what a row holds, resume, and refusal to mix parameter sets."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from datasketch import MinHash
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.curate import CurateConfig
from spark_jobs import sign_contents
from spark_jobs.runtime.context import Context, Inputs
from spark_jobs.runtime.store import Store, shard_of

# One line of 5 MB.
LONG_LINE = ",".join(f"{i:06x}" for i in range(720_000))
TEXTS = [
    "def add(first, second):\n    return first + second\n",
    "def  add( first,second ) :\n    return first+second  # ,",
    "import os",
    "()\n",
    LONG_LINE,
]


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def add_contents(store: Store, texts: list[str]) -> None:
    rows = [(sha(t), t, len(t.encode()), "Python") for t in texts]
    frame = store.spark.createDataFrame(
        rows, "content_sha256 string, text string, bytes long, language string"
    )
    store.append(
        "contents",
        frame.withColumn("shard", shard_of(F.col("content_sha256"), 4)),
        {},
        step=texts[0][:9],
    )


def context(spark: SparkSession, output: Path, *overrides: str) -> Context:
    store = Store(lambda: spark, str(output))
    return Context(load(CurateConfig, None, [f"output={output}", *overrides]), store, Inputs(store))


@pytest.fixture(scope="module")
def output(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose contents are TEXTS, with their signatures."""
    output = tmp_path_factory.mktemp("signed")
    ctx = context(spark, output)
    add_contents(ctx.store, TEXTS)
    summary = sign_contents.JOB.run(ctx)
    assert (summary.rows_in, summary.rows_out) == (len(TEXTS), len(TEXTS))
    return output


def signed(spark: SparkSession, output: Path) -> dict[str, tuple[bytes, int, int]]:
    rows = Store(lambda: spark, str(output)).read("signatures").collect()
    assert len({r.content_sha256 for r in rows}) == len(rows)
    return {r.content_sha256: (bytes(r.signature), r.shingles, r.shard) for r in rows}


def test_every_content_has_one_row_with_its_shingle_count(
    spark: SparkSession, output: Path
) -> None:
    rows = signed(spark, output)
    assert [rows[sha(t)][1] for t in TEXTS] == [3, 3, 1, 0, 719_996]
    assert all(len(signature) == 4 * 256 for signature, _, _ in rows.values())
    assert all(shard == int(key[0], 16) // 4 for key, (_, _, shard) in rows.items())


def test_rows_load_in_datasketch(spark: SparkSession, output: Path) -> None:
    rows = signed(spark, output)
    first, same_tokens, other, empty, _ = (
        MinHash(seed=1, scheme="affine32", hashvalues=np.frombuffer(rows[sha(t)][0], "<u4"))
        for t in TEXTS
    )
    assert first.jaccard(same_tokens) == 1
    assert first.jaccard(other) < 0.05
    assert empty.is_empty()


def test_new_contents_cost_only_themselves(spark: SparkSession, output: Path) -> None:
    assert sign_contents.JOB.run(context(spark, output)) is None
    add_contents(Store(lambda: spark, str(output)), ["print('new')"])
    summary = sign_contents.JOB.run(context(spark, output))
    assert (summary.rows_in, summary.rows_out) == (1, 1)
    assert len(signed(spark, output)) == len(TEXTS) + 1


def test_another_parameter_set_is_refused_and_both_are_named(
    spark: SparkSession, output: Path
) -> None:
    with pytest.raises(SeedbedError) as caught:
        sign_contents.JOB.run(context(spark, output, "near.seed=2"))
    assert "'seed': 1" in caught.value.problem
    assert "'seed': 2" in caught.value.problem
    assert "rebuild=[signatures]" in caught.value.fix
