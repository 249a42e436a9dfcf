"""What Spark in a JVM needs; spark-submit and local runs get the same Delta."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pyspark
import pytest

from conf.errors import SeedbedError
from conf.schema.curate import SparkSettings
from spark_jobs.runtime.engines import jvm
from tests.jvm import require_jvm

ROOT = Path(__file__).parents[4]
# Kills the JVM and asks it again.
KILLED = """
import os, signal, sys
from conf.loader import load
from conf.errors import run_cli
from conf.schema.curate import CurateConfig
from spark_jobs.runtime.job import CustomJob, execute
def run(ctx):
    ctx.spark.range(3).count()
    pid = ctx.spark._jvm.java.lang.ProcessHandle.current().pid()
    os.kill(pid, signal.SIGKILL)
    return ctx.spark.range(3).count()
cfg = load(CurateConfig, None, [f"output={sys.argv[1]}", "spark.engine=spark"])
run_cli(lambda argv: execute(CustomJob("doomed", (), run), cfg), [])
"""


def fake_java(folder: Path, version: str, does: str = "") -> None:
    """A java that tells its version, and `does` something where it is asked for more."""
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin/java"
    tells = f"echo 'openjdk version \"{version}\"' >&2"
    java.write_text(f'#!/bin/sh\n[ "$1" = -version ] && {tells} && exit\n{does}\n')
    java.chmod(0o755)


def test_missing_java_is_named_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(SeedbedError, match="no Java found") as caught:
        jvm.check_java()
    assert "openjdk-17" in caught.value.fix


@pytest.mark.parametrize(
    ("does", "told"),
    [
        # As the kernel does, and nothing is said. The first JVM of a start only makes the command.
        (
            r"printf '\0\n'; printf '%s\0' /bin/sh -c 'kill -9 $$'",
            "it said nothing (its process was ended by SIGKILL, as the kernel does",
        ),
        # A JVM says this on its standard output.
        ("echo 'Error: no heap of 900 GB'; exit 1", "no heap of 900 GB (its process ended with"),
        ("echo 'master is odd: Exception' >&2; exit 3", "master is odd: Exception (its process"),
    ],
)
def test_a_jvm_that_does_not_start_is_told_by_its_words_and_its_end(tmp_path, does, told):
    fake_java(tmp_path / "jdk", "17.0.15", does)
    log = tmp_path / "run/curate/engine.log"
    log.parent.mkdir(parents=True)
    log.write_text("an Error of an older run\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.py").write_text("a = 1\n" * 20)
    command = [sys.executable, "-m", "spark_jobs", "run", "spark.engine=spark"]
    done = subprocess.run(
        [*command, f"input={tmp_path}/in", f"output={tmp_path}/run"],
        env={**os.environ, "JAVA_HOME": str(tmp_path / "jdk")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "error: Spark did not start: " in done.stderr
    assert told in done.stderr
    assert " s)\n  fix: read " in done.stderr
    assert "Traceback" not in done.stderr
    assert "older" not in done.stderr


@pytest.mark.parametrize(
    ("version", "accepted"),
    [
        ("1.8.0_402", False),
        ("11.0.2", False),
        ("17.0.15", True),
        ("21", True),
        ("26-ea", True),
        ("16-ea", False),
    ],
)
def test_java_before_17_is_refused_with_its_version(monkeypatch, tmp_path, version, accepted):
    fake_java(tmp_path / "jdk", version)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    if accepted:
        jvm.check_java()
    else:
        with pytest.raises(SeedbedError, match=version):
            jvm.check_java()


def test_what_a_java_says_beside_its_version_is_not_taken_for_it(monkeypatch, tmp_path):
    fake_java(tmp_path / "jdk", "17.0.15")
    java = tmp_path / "jdk/bin/java"
    picked_up = """echo 'Picked up JAVA_TOOL_OPTIONS: -Dname="8 words"' >&2"""
    java.write_text(java.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{picked_up}\n"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    jvm.check_java()


@pytest.mark.parametrize(("mode", "content"), [(0o644, "#!/bin/sh\n"), (0o755, "no program")])
def test_a_java_that_cannot_be_run_is_one_error(monkeypatch, tmp_path, mode, content):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").write_text(content)
    (tmp_path / "bin/java").chmod(mode)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SeedbedError, match="bin/java cannot be run: ") as caught:
        jvm.check_java()
    assert "openjdk-17" in caught.value.fix


def test_the_properties_for_spark_submit_equal_the_local_settings():
    lines = (ROOT / "conf/curate/spark.properties").read_text().splitlines()
    properties = dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    assert properties.pop("spark.jars.packages") == jvm.delta_package()
    assert properties
    for key, value in properties.items():
        assert jvm.SETTINGS[key] == value


def test_a_submitted_spark_that_is_too_old_is_told_by_its_version(monkeypatch):
    # `start` leaves variables to what runs after it.
    monkeypatch.setattr(os, "environ", {**os.environ, "PYSPARK_GATEWAY_PORT": "1"})
    monkeypatch.setattr(jvm, "check_java", lambda: None)
    builder = Mock()
    builder.getOrCreate.return_value.version = "3.5.1"
    monkeypatch.setattr(jvm, "configure_spark_with_delta_pip", lambda _: builder)
    with pytest.raises(SeedbedError, match=r"what spark-submit brings is Spark 3\.5\.1"):
        jvm.start(SparkSettings(engine="spark"), "app", "engine.log")


@pytest.mark.slow
def test_spark_submit_without_delta_is_told_the_option_that_brings_it(tmp_path):
    require_jvm()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.py").write_text("a = 1\n" * 20)
    submit = [Path(pyspark.__file__).parent / "bin/spark-submit", "--master", "local[1]"]
    done = subprocess.run(
        [*submit, ROOT / "spark_jobs/ingest.py", f"input={tmp_path}/in", f"output={tmp_path}/run"],
        env=os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    # spark-submit gives on both streams of a program as its standard output.
    told = done.stdout[done.stdout.index("error: ") :].splitlines()
    assert told[0].startswith("error: what spark-submit brings has no Delta: ")
    assert "--properties-file conf/curate/spark.properties" in told[1]
    assert jvm.delta_package() in told[1]
    assert "Traceback" not in done.stdout


@pytest.mark.slow
def test_a_killed_jvm_is_one_error_with_a_fix(tmp_path):
    require_jvm()
    # As in a process below one that has a Connect session.
    connect = {"SPARK_CONNECT_MODE_ENABLED": "1", "SPARK_REMOTE": "sc://127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env=os.environ | connect,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "doomed: the engine (spark) has ended: " in done.stderr
    assert "fix: read DIR/curate/engine.log" in done.stderr
    assert "Traceback" not in done.stderr
