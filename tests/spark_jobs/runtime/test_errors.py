"""Failures of Spark as one readable line."""

from __future__ import annotations

import pytest
from py4j.protocol import Py4JNetworkError

from conf.errors import SeedbedError
from spark_jobs.runtime.job import CustomJob


@pytest.mark.parametrize(
    "error", [Py4JNetworkError("Answer from Java side is empty"), ConnectionRefusedError(111, "x")]
)
def test_a_jvm_that_has_ended_is_an_error_with_a_fix(run, error):
    """What a call to it raises, and what every call after that does."""

    def ended(ctx):
        raise error

    with pytest.raises(
        SeedbedError, match=r"broken: Spark's JVM has ended\n  fix: read DIR/curate/spark\.log"
    ):
        run.job(CustomJob("broken", writes=(), run=ended))


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        (
            lambda jvm: jvm.java.nio.ByteBuffer.allocate(2**31 - 1),
            "broken: a JVM ran out of memory\n  fix: raise spark.memory",
        ),
        (
            lambda jvm: jvm.java.util.Optional.empty().get(),
            "broken failed in Spark: java.util.NoSuchElementException: No value present",
        ),
    ],
)
def test_what_the_jvm_raises_is_told_in_its_own_words(run, fails, told):
    job = CustomJob("broken", writes=(), run=lambda ctx: fails(ctx.spark._jvm))
    with pytest.raises(SeedbedError) as caught:
        run.job(job)
    assert str(caught.value).startswith(told)
