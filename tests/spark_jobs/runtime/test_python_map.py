"""`map_in_arrow` gives on every engine what `mapInArrow` gives, and its errors are ours."""

from __future__ import annotations

import os

import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from conf.errors import SeedbedError
from spark_jobs.runtime import session
from spark_jobs.runtime.errors import plain_error
from spark_jobs.runtime.python_map import Batches, map_in_arrow


def counted(batches: Batches) -> Batches:
    """(partition's rows so far, n, text): an answer that depends on the order of a partition."""
    seen = 0
    for batch in batches:
        seen += batch.num_rows
        order = pa.array(range(seen - batch.num_rows, seen), pa.int64())
        yield pa.record_batch({"place": order, "n": batch["n"], "text": batch["text"]})


DDL = "place long, n long, text string"


@pytest.fixture(scope="module")
def frame(spark):
    numbers = spark.range(0, 20_000, 1, 4).withColumnRenamed("id", "n")
    return numbers.withColumn("text", F.when(F.col("n") % 3 > 0, F.repeat(F.lit("ü"), 40)))


def test_the_rows_are_those_of_the_engine_s_own_map_in_their_order(frame):
    ours = map_in_arrow(frame, counted, DDL).collect()
    assert sorted(ours) == sorted(frame.mapInArrow(counted, DDL).collect())
    assert len(ours) == 20_000


def test_no_rows_give_what_the_function_makes_of_nothing(frame):
    def summed(batches: Batches) -> Batches:
        yield pa.record_batch({"rows": [sum(batch.num_rows for batch in batches)]})

    none = map_in_arrow(frame.filter("n < 0").coalesce(1), summed, "rows long").collect()
    assert sum(row["rows"] for row in none) == 0
    assert map_in_arrow(frame.filter("n < 0"), counted, DDL).collect() == []


def test_a_function_of_single_rows_gives_the_same_rows_by_several_processes(frame):
    def widened(batches: Batches) -> Batches:
        for batch in batches:
            texts = [f"{n:0>900}" for n in batch["n"].to_pylist()]
            yield pa.record_batch({"n": batch["n"], "text": texts})

    ddl = "n long, text string"
    wide = map_in_arrow(frame.coalesce(1), widened, ddl, by_row=True)
    # 18 MB, in one partition: more than one child takes it.
    ours = map_in_arrow(wide, lambda batches: batches, ddl, by_row=True).collect()
    assert sorted(ours) == [(n, f"{n:0>900}") for n in range(20_000)]


def test_one_function_may_read_what_another_gives(frame):
    once = map_in_arrow(frame, counted, DDL)
    twice = map_in_arrow(once.select("n", "text"), counted, DDL)
    assert sorted(twice.collect()) == sorted(once.collect())


def test_a_limit_ends_a_function_that_would_go_on(frame):
    def endless(batches: Batches) -> Batches:
        list(batches)
        while True:
            yield pa.record_batch({"n": list(range(1000))})

    assert len(map_in_arrow(frame.coalesce(1), endless, "n long").limit(3).collect()) == 3


def test_functions_run_in_other_processes_than_the_server_where_that_has_one_lock(frame):
    def pids(batches: Batches) -> Batches:
        list(batches)
        yield pa.record_batch({"pid": [os.getpid()]})

    ours = {row["pid"] for row in map_in_arrow(frame, pids, "pid long").collect()}
    plain = {row["pid"] for row in frame.mapInArrow(pids, "pid long").collect()}
    assert (not ours & plain) or not session.engine().python_in_threads


def test_an_error_of_ours_reaches_the_user_whole(frame):
    def refuses(batches: Batches) -> Batches:
        list(batches)
        raise SeedbedError("the problem", "the fix")
        yield

    with pytest.raises(Exception) as raised:
        map_in_arrow(frame, refuses, "n long").collect()
    error = plain_error("job", raised.value, session.engine())
    assert (error.problem, error.fix) == ("job: the problem", "the fix")


def test_another_error_is_told_by_its_last_line(frame):
    def fails(batches: Batches) -> Batches:
        list(batches)
        raise ValueError("seven is no good")
        yield

    with pytest.raises(Exception) as raised:
        map_in_arrow(frame, fails, "n long").collect()
    assert "ValueError: seven is no good" in str(plain_error("job", raised.value, session.engine()))
