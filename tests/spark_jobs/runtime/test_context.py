"""What a job may touch: pinned inputs, shuffles by size, and frames that are computed once."""

from __future__ import annotations

import pytest
from pyspark.sql import functions as F

from spark_jobs.runtime.context import Context, Inputs
from tests.spark_jobs.contents import HASHES, add_contents


@pytest.mark.parametrize(("stated", "partitions"), [(1, "2"), (6 << 30, "48"), (1 << 50, "32768")])
def test_shuffles_of_text_get_partitions_by_its_size_and_never_fewer_than_configured(
    run, stated, partitions
):
    """The sizes are those that `contents` states; the texts here are a letter each."""
    rows = run.store.read("contents").withColumn("bytes", F.lit(stated).cast("long") / len(HASHES))
    run.store.overwrite("contents", rows, {"job": "test"})
    key = "spark.sql.shuffle.partitions"
    before = run.store.spark.conf.get(key)
    try:
        run.store.spark.conf.set(key, "2")
        Context(run.cfg, run.store, Inputs(run.store)).size_shuffles()
        assert run.store.spark.conf.get(key) == partitions
    finally:
        run.store.spark.conf.set(key, before)


def test_a_materialized_frame_is_deleted_after_the_block_and_after_a_kill(run, spark, tmp_path):
    left = tmp_path / "curate/held/pairs/0"
    left.mkdir(parents=True)
    (left / "part-0.parquet").write_text("cut short by a kill")
    with Context(run.cfg, run.store, Inputs(run.store)).materialize("pairs") as hold:
        odd = hold(spark.range(9).filter("id % 2 = 1").withColumn("drawn", F.rand()), "odd")
        again = hold(odd.filter("id > 4"), "large")
        assert [row.id for row in again.orderBy("id").collect()] == [5, 7]
        # What is held is not computed again.
        drawn = [frame.orderBy("id").collect()[-1].drawn for frame in (odd, odd, again)]
        assert len(set(drawn)) == 1
    assert not (tmp_path / "curate/held/pairs").exists()


def test_reads_stay_at_the_version_first_seen(run):
    inputs = Inputs(run.store)
    assert inputs["contents"].count() == 16
    add_contents(run.store, ["0c" * 32])
    assert inputs["contents"].count() == 16
    assert Context(run.cfg, run.store, Inputs(run.store)).inputs["contents"].count() == 17
