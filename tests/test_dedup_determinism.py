"""One input, one hash: partitions, AQE, executors and the order of arrival change no row of the near-dedup tables.

SIGKILL in the middle of a run is tests/test_curate_kill.py's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spark_jobs.certify import hashes
from tests import corpus

pytestmark = pytest.mark.slow
TABLES = ("contents", "files", "signatures", "near_edges", "clusters")


def command(source: Path, output: Path, *options: str) -> list[str]:
    common = ["shards=2", f"input={source}", f"output={output}", "until=clusters"]
    return [sys.executable, "-m", "spark_jobs", "run", *common, *options]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(source, hashes) of one undisturbed run."""
    root = tmp_path_factory.mktemp("determinism")
    source = corpus.build(root / "source")
    subprocess.run(command(source, root / "whole", "spark.master=local[2]"), check=True)
    found = hashes(str(root / "whole"), TABLES)
    assert set(found) == set(TABLES)
    return source, found


@pytest.mark.parametrize(
    "options",
    [
        ("spark.master=local[1]", "spark.shuffle_partitions=1", "ingest.batch_repos=1", "files_per_shard=3"),
        ("spark.master=local-cluster[2,1,1024]", "spark.shuffle_partitions=7", "near.driver_edges=0"),
    ],
    ids=["one core, one partition, repositories one by one", "two executors, seven partitions, distributed components"],
)
def test_neither_executors_nor_partitions_nor_order_change_a_row(whole, tmp_path, options):
    source, want = whole
    config = tmp_path / "config.yaml"
    aqe = "true" if "local-cluster" in options[0] else "false"
    config.write_text(f"spark:\n  extra:\n    spark.sql.adaptive.enabled: '{aqe}'\n")
    subprocess.run([*command(source, tmp_path / "run", *options), "--config", str(config)], check=True)
    assert hashes(str(tmp_path / "run"), TABLES) == want
