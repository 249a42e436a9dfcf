"""Where the words of a JVM go, and what is told where Spark in it gives up."""

from __future__ import annotations

import os
import subprocess

import pytest
from py4j.protocol import Py4JError

from conf.errors import SeedbedError
from spark_jobs.runtime.engines.jvm_start import starting


def test_what_processes_say_on_both_streams_goes_to_the_log_and_back_after_it(tmp_path, capfd):
    log = tmp_path / "curate/engine.log"
    with starting(str(log)):
        subprocess.run(["sh", "-c", "echo out; echo err >&2"], check=True)
    os.write(1, b"after\n")
    assert log.read_text() == "out\nerr\n"
    assert capfd.readouterr().out == "after\n"


def test_a_spark_that_gives_up_in_a_jvm_that_runs_is_told_by_its_cause(tmp_path):
    said = "An error occurred while calling None.\n: java.lang.IllegalState: all masters are silent"
    with (
        pytest.raises(SeedbedError, match="all masters are silent") as error,
        starting(str(tmp_path / "engine.log")),
    ):
        raise Py4JError(said)
    assert "its process runs, and Spark in it gave up after" in error.value.problem
    assert "spark.master" in error.value.fix


def test_jars_that_are_neither_here_nor_within_reach_are_told_with_the_command_that_fetches(
    tmp_path,
):
    said = "Exception: [unresolved dependency: io.delta#delta-spark;4.4.0: not found]"

    def start() -> None:
        with starting(str(tmp_path / "engine.log")):
            subprocess.run(["sh", "-c", f"echo '{said}' >&2"], check=True)
            raise Py4JError("the gateway has ended")

    with pytest.raises(SeedbedError, match="could not be fetched") as error:
        start()
    assert error.value.problem.endswith(": " + said.removeprefix("Exception: ["))
    assert error.value.fix.startswith("run `make java` once")


def test_another_error_stays_as_it_is(tmp_path):
    with pytest.raises(KeyError), starting(str(tmp_path / "engine.log")):
        raise KeyError("of the program")
