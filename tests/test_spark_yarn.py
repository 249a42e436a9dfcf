"""The curate line on YARN with tables on HDFS gives the tables of a run on Sail.

The nodes have Spark and nothing of this project: they run the archive of `make dist`.
"""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from scripts import make_dist
from seedbed.queries.certify import hashes
from tests.cluster.mini_cluster import HERE, MiniCluster, missing

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("yarn")
    make_dist.main([str(folder / "dist")])
    nodes = MiniCluster(folder, folder / "dist/environment.tar.gz")
    yield nodes
    nodes.stop()


@pytest.fixture(scope="module")
def input_on_hdfs(cluster, mixed):
    return cluster.put(mixed[0], "/sources")


def line(cluster: MiniCluster, source: str, output: str) -> list[str]:
    """The whole curate line as a program that spark-submit takes."""
    program = cluster.packages / "spark_jobs/__main__.py"
    common = ["shards=2", "tokens.vocab_size=600", "spark.engine=spark"]
    return [str(program), "run", *common, f"input={source}", f"output={output}"]


def test_executors_use_the_archive_and_nothing_of_this_checkout(cluster):
    result = cluster.submit("client", HERE / "where_from.py")
    assert result.returncode == 0, result.stderr[-3000:]
    found = [
        json.loads(text.removeprefix("FOUND "))
        for text in result.stdout.splitlines()
        if text.startswith("FOUND ")
    ]
    assert found
    containers = str(cluster.folder / "nodes")
    for one in found:
        # Spark's own jar is on the path of its Python workers.
        elsewhere = [p for p in one["paths"] if not p.endswith(".jar") and containers not in p]
        assert elsewhere == []
        # The archive has the machine code of the kernels, wherever it is unpacked.
        assert one["compiled"] == 0


def test_the_whole_line_in_cluster_mode_gives_the_tables_of_a_run_on_sail(
    cluster, mixed, input_on_hdfs
):
    output = f"{cluster.uri}/cluster-mode"
    result = cluster.submit("cluster", *line(cluster, input_on_hdfs, output))
    assert result.returncode == 0, result.stderr[-3000:] + cluster.printed()[-3000:]
    assert "pack_tokens " in cluster.printed()
    # Spark's warning of each jar that it is no Python file.
    assert "Failed to add file" not in cluster.printed()
    assert hashes(output) == hashes(str(mixed[1]))


def test_an_executor_killed_and_a_node_lost_change_no_row(cluster, mixed, input_on_hdfs):
    """Client mode. An executor dies in the middle of the run, and then a node is lost."""
    output = f"{cluster.uri}/client-mode"
    command, environment = cluster.command("client", *line(cluster, input_on_hdfs, output))
    before = cluster.finished_tasks()
    log = cluster.folder / "client.log"
    with log.open("wb") as out:
        run = subprocess.Popen(
            [*command, "until=clusters"],
            env=environment,
            cwd=cluster.edge,
            stdout=out,
            stderr=out,
        )

    def wait_for_tasks(number: int) -> None:
        while cluster.finished_tasks() < before + number:
            assert run.poll() is None, f"ended before {number} tasks: {log.read_text()[-3000:]}"
            time.sleep(0.05)

    wait_for_tasks(40)
    first, *_ = cluster.executors()
    first.kill()
    wait_for_tasks(80)
    cluster.lose(cluster.node_without_master())
    # The loss came in the middle of the run.
    assert run.poll() is None
    assert run.wait() == 0, log.read_text()[-3000:]
    found = hashes(output)
    assert "clusters" in found
    assert found == hashes(str(mixed[1]), tuple(found))
