"""One input, one hash: partitions, AQE, executors, order of arrival and SIGKILL change no row of the near-dedup tables.

SEEDBED_KILLS=10 python -m pytest -m slow tests/test_dedup_determinism.py     (default: 3 kills)
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spark_jobs.certify import hashes
from tests import corpus

pytestmark = pytest.mark.slow
TABLES = ("contents", "files", "signatures", "near_edges", "clusters")
KILLS = int(os.environ.get("SEEDBED_KILLS", 3))


def command(source: Path, output: Path, *options: str) -> list[str]:
    common = ["shards=2", f"input={source}", f"output={output}", "until=clusters"]
    return [sys.executable, "-m", "spark_jobs", "run", *common, *options]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(source, hashes, seconds) of one undisturbed run."""
    root = tmp_path_factory.mktemp("determinism")
    source = corpus.build(root / "source")
    started = time.monotonic()
    subprocess.run(command(source, root / "whole", "spark.master=local[2]"), check=True)
    found = hashes(str(root / "whole"), TABLES)
    assert set(found) == set(TABLES)
    return source, found, time.monotonic() - started


@pytest.mark.parametrize(
    "options",
    [
        ("spark.master=local[1]", "spark.shuffle_partitions=1", "ingest.batch_repos=1", "files_per_shard=3"),
        ("spark.master=local-cluster[2,1,1024]", "spark.shuffle_partitions=7", "near.driver_edges=0"),
    ],
    ids=["one core, one partition, repositories one by one", "two executors, seven partitions, distributed components"],
)
def test_neither_executors_nor_partitions_nor_order_change_a_row(whole, tmp_path, options):
    source, want, _ = whole
    config = tmp_path / "config.yaml"
    aqe = "true" if "local-cluster" in options[0] else "false"
    config.write_text(f"spark:\n  extra:\n    spark.sql.adaptive.enabled: '{aqe}'\n")
    subprocess.run([*command(source, tmp_path / "run", *options), "--config", str(config)], check=True)
    assert hashes(str(tmp_path / "run"), TABLES) == want


def test_kills_at_random_moments_change_no_row(whole, tmp_path):
    source, want, seconds = whole
    moments = random.Random(7)
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(source, tmp_path, "spark.master=local[2]"), start_new_session=True, stdout=subprocess.DEVNULL
        )
        time.sleep(moments.uniform(0.3, 1.0) * seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command(source, tmp_path, "spark.master=local[2]"), check=True)
    assert hashes(str(tmp_path), TABLES) == want
