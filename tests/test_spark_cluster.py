"""Every job through spark-submit on a real standalone cluster, one master and two workers, gives the tables of a local run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyspark
import pytest

from spark_jobs.certify import hashes
from spark_jobs.graph import JOBS
from tests import corpus

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SPARK = Path(pyspark.__file__).parent / "bin"
PACKAGE = "org.apache.spark.deploy"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(log: Path, text: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while text not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < deadline, f"{text!r} did not appear in {log}: {log.read_text()[-2000:]}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    root = tmp_path_factory.mktemp("cluster")
    environment = os.environ | {
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_WORKER_DIR": str(root / "work"),
    }
    port = free_port()
    daemons = []

    def daemon(name: str, *arguments: str) -> Path:
        log = root / f"{name}.log"
        with log.open("wb") as out:
            daemons.append(
                subprocess.Popen([SPARK / "spark-class", *arguments], stdout=out, stderr=out, env=environment)
            )
        return log

    master = daemon(
        "master", f"{PACKAGE}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"
    )
    wait_for(master, "I have been elected leader")
    for number in (1, 2):
        options = ("--host", "127.0.0.1", "--webui-port", "0", "--cores", "1", "--memory", "1500m")
        daemon(f"worker{number}", f"{PACKAGE}.worker.Worker", *options, f"spark://127.0.0.1:{port}")
    wait_for(root / "worker1.log", "Successfully registered")
    wait_for(root / "worker2.log", "Successfully registered")
    yield f"spark://127.0.0.1:{port}", environment, root
    for process in daemons:
        process.kill()
        process.wait()


def test_every_job_submitted_to_two_workers_gives_the_tables_of_a_local_run(cluster, tmp_path):
    url, environment, root = cluster
    source = corpus.build(tmp_path / "source")
    common = ["shards=2", "tokens.vocab_size=600", f"input={source}"]
    for job in JOBS:
        submit = [SPARK / "spark-submit", "--master", url, "--properties-file", ROOT / "conf/curate/spark.properties"]
        submit += ["--executor-memory", "1g", "--conf", "spark.driver.host=127.0.0.1", ROOT / f"spark_jobs/{job}.py"]
        result = subprocess.run(
            [*submit, "--config", ROOT / "conf/curate/local.yaml", *common, f"output={tmp_path / 'cluster'}"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{job}: {result.stdout[-1000:]} {result.stderr[-3000:]}"
        assert f"{job} " in result.stdout
    local = [sys.executable, "-m", "spark_jobs", "run", "--config", ROOT / "conf/curate/local.yaml"]
    subprocess.run([*local, *common, f"output={tmp_path / 'local'}"], check=True)
    assert hashes(str(tmp_path / "cluster")) == hashes(str(tmp_path / "local"))
    for worker in (1, 2):
        assert (
            "Launching executor" in (root / f"worker{worker}.log").read_text()
            or "Asked to launch executor" in (root / f"worker{worker}.log").read_text()
        )
