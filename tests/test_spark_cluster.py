"""On a real standalone cluster with two workers the curate line gives the tables of a Sail run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seedbed.queries.certify import hashes
from tests import corpus
from tests.cluster.standalone import WORKERS, Standalone
from tests.jvm import require_jvm

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    require_jvm()
    nodes = Standalone(tmp_path_factory.mktemp("cluster"))
    yield nodes
    nodes.stop()


def test_jobs_submitted_to_two_workers_give_the_tables_of_a_run_on_sail(cluster, mixed, tmp_path):
    """One job as a program of its own, and then the whole line, which does the others.

    What the command asks for, sail, is not what spark-submit brings.
    """
    source, on_sail = mixed
    common = corpus.settings(source, tmp_path / "run")
    last_jobs = {("ingest.py",): "ingest ", ("__main__.py", "run"): "pack_tokens "}
    for (program, *first), last_job in last_jobs.items():
        done = cluster.submit(program, *first, *common, "spark.engine=sail")
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
        assert last_job in done.stdout
    assert hashes(str(tmp_path / "run")) == hashes(str(on_sail))
    assert corpus.tokens_hash(tmp_path / "run") == corpus.tokens_hash(on_sail)
    assert all(cluster.finished_tasks(worker) for worker in WORKERS)


def commits(output: Path, table: str) -> list[Path]:
    return sorted((output / "tables" / table / "_delta_log").glob("*.json"))


@pytest.mark.nightly
def test_a_worker_killed_in_the_middle_of_near_dedup_changes_no_row(cluster, mixed, tmp_path):
    """Worker 2 and its executor are killed in the search for pairs, and worker 1 ends the run."""
    source, on_sail = mixed
    killed = tmp_path / "killed"
    config = tmp_path / "config.yaml"
    extra = {"spark.driver.host": "127.0.0.1", "spark.executor.memory": "1g"}
    # JSON is YAML.
    config.write_text(json.dumps({"spark": {"extra": extra}}))
    command = [sys.executable, "-m", "spark_jobs", "run", "--config", str(config)]
    command += [f"input={source}", f"output={killed}", "shards=2", "until=clusters"]
    command += ["spark.engine=spark", f"spark.master={cluster.url}"]
    run = subprocess.Popen(command, env=cluster.environment)

    def wait_for(happens) -> None:
        while not happens():
            assert run.poll() is None, "the run ended before"
            time.sleep(0.02)

    wait_for(lambda: commits(killed, "signatures"))
    before = [cluster.finished_tasks(worker) for worker in WORKERS]
    wait_for(lambda: cluster.finished_tasks(2) >= before[1] + 5)
    cluster.kill(2)
    assert not commits(killed, "near_edges")
    assert run.wait() == 0
    assert cluster.finished_tasks(1) > before[0]
    found = hashes(str(killed))
    assert "clusters" in found
    assert found == hashes(str(on_sail), tuple(found))
