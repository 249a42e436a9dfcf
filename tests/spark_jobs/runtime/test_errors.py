"""Failures of an engine as one readable line."""

from __future__ import annotations

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from conf.errors import SeedbedError
from spark_jobs.runtime import python_map, session
from spark_jobs.runtime.job import CustomJob


def failing(run, act) -> str:
    """What a job that does `act` tells the user."""
    with pytest.raises(SeedbedError) as caught:
        run.job(CustomJob("broken", writes=(), run=act))
    return str(caught.value)


def test_what_an_expression_raises_is_told_in_its_own_words(run):
    told = failing(run, lambda ctx: ctx.spark.range(1).select(F.raise_error(F.lit("odd"))).first())
    assert told.startswith(f"broken failed in the engine ({session.engine().name}): ")
    assert "odd" in told


def test_an_error_of_ours_in_a_python_function_comes_out_whole(run):
    def refuse(batches):
        for _ in batches:
            raise SeedbedError("the row is crooked", "straighten it")
        yield from ()

    told = failing(
        run, lambda ctx: python_map.map_in_arrow(ctx.spark.range(1), refuse, "id long").collect()
    )
    assert told == "broken: the row is crooked\n  fix: straighten it"


def test_another_error_in_a_python_function_is_told_by_its_last_line(run):
    def fail(batches):
        for _ in batches:
            raise ValueError("seven is odd")
        yield from ()

    told = failing(
        run, lambda ctx: python_map.map_in_arrow(ctx.spark.range(1), fail, "id long").collect()
    )
    assert "ValueError: seven is odd" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("java.lang.OutOfMemoryError: Java heap space", "ran out of memory"),
        ("Resources exhausted: Additional allocation failed with top memory", "ran out of memory"),
        ("Sail Delta Lake does not support reader version 99", "of this version: Sail Delta Lake"),
        ("[DELTA_INVALID_PROTOCOL_VERSION] reader 99", "cannot use a table of this version"),
        # As Spark Connect tells what a function raised: with the server's own stack after it.
        (
            "\n  An exception was thrown from the Python worker. Please see below.\n"
            "[PYTHON_EXCEPTION] It was: Traceback (most recent call last):\n"
            '  File "a.py", line 7, in f\n    odd()\nValueError: seven is odd\n SQLSTATE: 38000\n'
            "\tat org.apache.spark.Runner.read(Runner.scala:665)",
            "): ValueError: seven is odd\n",
        ),
        ("IO error: No space left on device (os error 28)", "broken: the disk is full"),
    ],
)
def test_what_an_engine_says_is_told_with_its_fix(run, message, told):
    def lack(ctx):
        # So that an engine runs that could be asked.
        ctx.spark.range(1).count()
        raise PySparkException(message)

    assert told in failing(run, lack)


def test_an_error_of_the_job_itself_stays_as_it_is(run):
    def fail(ctx):
        raise KeyError("of the job")

    with pytest.raises(KeyError, match="of the job"):
        run.job(CustomJob("broken", writes=(), run=fail))
