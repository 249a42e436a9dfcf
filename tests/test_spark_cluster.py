"""Every job on a real standalone cluster with two workers gives the tables of a local run.

The jobs are started with spark-submit.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyspark
import pytest

from seedbed.queries.certify import hashes
from spark_jobs.graph import JOBS
from tests.jvm import require_jvm

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
        assert time.monotonic() < deadline, (
            f"{text!r} did not appear in {log}: {log.read_text()[-2000:]}"
        )
        time.sleep(0.2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    require_jvm()
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
                subprocess.Popen(
                    [SPARK / "spark-class", *arguments], stdout=out, stderr=out, env=environment
                )
            )
        return log

    master = daemon(
        "master",
        f"{PACKAGE}.master.Master",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--webui-port",
        "0",
    )
    wait_for(master, "I have been elected leader")
    for number in (1, 2):
        options = ("--host", "127.0.0.1", "--webui-port", "0", "--cores", "1", "--memory", "1500m")
        daemon(f"worker{number}", f"{PACKAGE}.worker.Worker", *options, f"spark://127.0.0.1:{port}")
    wait_for(root / "worker1.log", "Successfully registered")
    wait_for(root / "worker2.log", "Successfully registered")
    yield f"spark://127.0.0.1:{port}", environment, root, daemons
    for process in daemons:
        process.kill()
        process.wait()


def test_every_job_submitted_to_two_workers_gives_the_tables_of_a_local_run(
    cluster, curated, tmp_path
):
    url, environment, root, _ = cluster
    source, local = curated
    common = ["shards=2", "tokens.vocab_size=600", f"input={source}"]
    for job in JOBS:
        submit = [
            SPARK / "spark-submit",
            "--master",
            url,
            "--properties-file",
            ROOT / "conf/curate/spark.properties",
        ]
        submit += [
            "--executor-memory",
            "1g",
            "--conf",
            "spark.driver.host=127.0.0.1",
            ROOT / f"spark_jobs/{job}.py",
        ]
        result = subprocess.run(
            [
                *submit,
                "--config",
                ROOT / "conf/curate/local.yaml",
                *common,
                f"output={tmp_path / 'cluster'}",
            ],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{job}: {result.stdout[-1000:]} {result.stderr[-3000:]}"
        assert f"{job} " in result.stdout
    assert hashes(str(tmp_path / "cluster")) == hashes(str(local))
    for worker in (1, 2):
        assert (
            "Launching executor" in (root / f"worker{worker}.log").read_text()
            or "Asked to launch executor" in (root / f"worker{worker}.log").read_text()
        )


def finished_tasks(folder: Path) -> int:
    """Number of tasks that executors have finished, by the logs that their workers keep."""
    return sum(
        log.read_text(errors="replace").count("Finished task")
        for log in folder.glob("app-*/*/stderr")
    )


def test_a_worker_killed_in_the_middle_of_near_dedup_changes_no_row(cluster, curated, tmp_path):
    """Worker 2 and its executor are killed after 30 tasks of the job, and worker 1 ends the run."""
    url, environment, root, daemons = cluster
    source, local = curated
    config = tmp_path / "config.yaml"
    extra = {"spark.driver.host": "127.0.0.1", "spark.executor.memory": "1g"}
    config.write_text(
        "spark:\n  extra:\n" + "".join(f"    {key}: '{value}'\n" for key, value in extra.items())
    )
    command = [sys.executable, "-m", "spark_jobs", "run"]
    common = [f"input={source}", "shards=2"]
    killed = tmp_path / "killed"
    on_cluster = [
        *command,
        "--config",
        str(config),
        *common,
        f"output={killed}",
        "spark.engine=spark",
        f"spark.master={url}",
    ]
    subprocess.run([*on_cluster, "until=signatures"], env=environment, check=True)
    before = finished_tasks(root / "work")
    run = subprocess.Popen([*on_cluster, "from=near_edges", "until=clusters"], env=environment)
    while finished_tasks(root / "work") < before + 30:
        assert run.poll() is None, "ended before 30 tasks were done"
        time.sleep(0.02)
    worker = psutil.Process(daemons[-1].pid)
    executors = worker.children(recursive=True)
    assert executors
    for process in (*executors, worker):
        process.kill()
    # The kill came in the middle of the job.
    assert not (killed / "tables/near_edges").exists()
    assert run.wait() == 0
    found = hashes(str(killed))
    assert "clusters" in found
    assert found == hashes(str(local), tuple(found))
