"""The curate line through Spark's own Connect server gives the tables of a run on Sail.

The client has `pyspark-client` and neither a JVM, nor Spark's jars, nor py4j.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyspark
import pytest

from scripts.make_dist import NOT_PACKED, build_wheel, locked, spark_packages
from seedbed.queries.certify import hashes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="needs java (make java)"),
]
ROOT = Path(__file__).parents[1]
SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"
CLIENT = "pyspark-client==4.2.0"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a Connect server, whose Python workers have this project installed."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [Path(pyspark.__file__).parent / "bin/spark-submit", "--class", SERVER]
    command += ["--master", "local[2]", "--driver-memory", "2g"]
    command += ["--properties-file", ROOT / "conf/curate/spark.properties"]
    for key, value in {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
        "spark.ui.enabled": "false",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.shuffle.partitions": "4",
    }.items():
        command += ["--conf", f"{key}={value}"]
    environment = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "spark-internal"], cwd=folder, env=environment, stdout=out, stderr=out
        )
    deadline = time.monotonic() + 600
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.5)
    yield f"sc://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A Python with the project, what its jobs import, and Spark's thin client."""
    folder = tmp_path_factory.mktemp("client")
    python = folder / "venv/bin/python"
    (folder / "dist").mkdir()
    wheel = build_wheel(folder / "dist", folder / "source")
    requirements = folder / "requirements.txt"
    requirements.write_text(locked(spark_packages(wheel) - NOT_PACKED))
    uv = [sys.executable, "-m", "uv"]
    install = [*uv, "pip", "install", "--quiet", "--no-deps", "--python", python]
    subprocess.run(
        [*uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True
    )
    subprocess.run([*install, "--require-hashes", "-r", requirements], check=True)
    subprocess.run([*install, wheel], check=True)
    if subprocess.run([*install, CLIENT], check=False).returncode:
        pytest.skip(f"{CLIENT} is not in the lock, and could not be fetched")
    return python


def test_a_client_without_spark_runs_the_whole_line_on_a_server(server, client, mixed, tmp_path):
    source, on_sail = mixed
    output = tmp_path / "connect"
    command = [client, "-m", "spark_jobs", "run", "shards=2", "tokens.vocab_size=600"]
    command += ["spark.engine=connect", f"spark.remote={server}"]
    # Neither this checkout nor Java can be found from here.
    surroundings = {"cwd": tmp_path, "env": {"PATH": "/nowhere", "HOME": str(tmp_path)}}
    probe = "import importlib.util as u, pyspark; print(u.find_spec('py4j'), pyspark.__path__)"
    found = subprocess.check_output([client, "-c", probe], text=True, **surroundings)
    assert found.startswith("None ")
    assert not list(Path(found.split("'")[1]).glob("jars"))
    result = subprocess.run(
        [*command, f"input={source}", f"output={output}"],
        capture_output=True,
        text=True,
        check=False,
        **surroundings,
    )
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-3000:]
    assert hashes(str(output)) == hashes(str(on_sail))
