"""A Spark Connect server that is not there, is too old, or refuses a setting."""

from __future__ import annotations

import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from pyspark.errors import PySparkException

from conf.errors import SeedbedError
from conf.schema.curate import SparkSettings
from spark_jobs.runtime.engines import connect

SETTINGS = SparkSettings(engine="connect", remote="sc://far:15002", extra={"spark.odd": "7"})


@pytest.fixture
def answering(monkeypatch):
    """Puts a session in place of the server's: its version, and what it says to a setting."""

    def put(version: str, refusal: str = "") -> list[tuple[str, str]]:
        taken: list[tuple[str, str]] = []

        def take(key, value):
            if refusal and key == "spark.odd":
                raise PySparkException(refusal)
            taken.append((key, value))

        session = SimpleNamespace(
            version=version,
            conf=SimpleNamespace(set=take),
            registerProgressHandler=lambda handler: None,
        )
        monkeypatch.setattr(connect, "session_at", lambda url, retries: session)
        return taken

    return put


def test_a_server_that_is_not_there_is_told_in_one_line(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.py").write_text("a = 1\n" * 20)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        remote = f"sc://127.0.0.1:{unused.getsockname()[1]}"
        command = [sys.executable, "-m", "spark_jobs", "run", "spark.engine=connect"]
        command += [f"spark.remote={remote}", f"input={tmp_path}/in", f"output={tmp_path}/run"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    problem, fix = done.stderr.splitlines()
    assert problem.startswith(f"error: spark.remote={remote} does not answer: ")
    assert "onnect" in problem.partition("answer: ")[2]
    assert "_InactiveRpcError" not in problem
    assert "start the server" in fix


def test_a_server_that_is_too_old_is_told_by_its_version(answering):
    answering("3.5.1")
    with pytest.raises(SeedbedError, match=r"is Spark 3\.5\.1; the jobs need Spark 4"):
        connect.start(SETTINGS)
    taken = answering("4.0.0")
    connect.start(SETTINGS)
    assert ("spark.odd", "7") in taken


def test_a_setting_that_the_server_refuses_is_named(answering):
    answering("4.2.0", "[CANNOT_MODIFY_CONFIG] no\nmore")
    with pytest.raises(SeedbedError, match=r"refuses spark\.odd=7: .*CANNOT_MODIFY") as error:
        connect.start(SETTINGS)
    assert "spark.extra" in error.value.fix
