"""What a session needs of the machine, and that spark-submit and local runs get the same Delta."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from spark_jobs.runtime import session

ROOT = Path(__file__).parents[3]


def fake_java(folder: Path, version: str) -> None:
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin/java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)


def test_missing_java_is_named_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(SeedbedError, match="no Java found") as caught:
        session.check_java()
    assert "openjdk-17" in caught.value.fix


@pytest.mark.parametrize(
    ("version", "accepted"),
    [("1.8.0_402", False), ("11.0.2", False), ("17.0.15", True), ("21", True)],
)
def test_java_before_17_is_refused_with_its_version(monkeypatch, tmp_path, version, accepted):
    fake_java(tmp_path / "jdk", version)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    if accepted:
        session.check_java()
    else:
        with pytest.raises(SeedbedError, match=version):
            session.check_java()


def test_the_properties_for_spark_submit_equal_the_local_settings():
    lines = (ROOT / "conf/curate/spark.properties").read_text().splitlines()
    properties = dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    assert properties.pop("spark.jars.packages") == session.delta_package()
    assert properties
    for key, value in properties.items():
        assert session.SETTINGS[key] == value


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("python", "Seedbed needs 3.12"),
        ("java", "Spark 4 needs Java 17"),
        ("disk", "the environment needs"),
    ],
)
def test_the_machine_check_names_each_fault_and_its_fix(monkeypatch, tmp_path, fault, message):
    python, disk = sys.executable, "0"
    if fault == "python":
        fake = tmp_path / "python3"
        fake.write_text("#!/bin/sh\necho 3.9\n")
        fake.chmod(0o755)
        python = str(fake)
    if fault == "java":
        fake_java(tmp_path / "jdk", "11.0.2")
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    if fault == "disk":
        disk = "100000000"
    script = str(ROOT / "scripts/check_machine.sh")
    result = subprocess.run(
        ["sh", script, python, disk], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert message in result.stderr
    assert "fix:" in result.stderr


def test_the_machine_check_passes_here(tmp_path):
    result = subprocess.run(
        ["sh", str(ROOT / "scripts/check_machine.sh"), sys.executable, "1"],
        cwd=tmp_path,
        check=False,
    )
    assert result.returncode == 0
