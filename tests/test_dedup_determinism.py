"""One input gives one hash of the near-dedup tables.

The engine, partitions, adaptive planning, executors, the order of rows and SIGKILLs change no row.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seedbed.queries.certify import hashes
from tests import corpus
from tests.jvm import require_jvm

pytestmark = pytest.mark.slow
TABLES = ("signatures", "near_misses", "near_edges", "clusters")
KILLS = 10
# A kill comes this long after the start of the engine. A whole run takes about as long.
SECONDS = (0.3, 5.0)


def build(root: Path) -> Path:
    """200 files of the standard library; every third has edited copies of copies, which chain."""
    draw = random.Random(3)
    paths = [p for p in sorted(corpus.STDLIB.rglob("*.py")) if "site-packages" not in p.parts]
    paths = draw.sample([p for p in paths if 500 < p.stat().st_size < 30_000], 200)
    for number, path in enumerate(paths):
        lines = path.read_text("utf-8", "replace").splitlines()
        for copy in range(5 if number % 3 == 0 else 1):
            for place in draw.sample(range(len(lines)), len(lines) // 25 if copy else 0):
                lines[place] = f"edited_{number}_{copy}_{place} = {draw.random()}"
            target = root / f"repository{copy}" / f"{number}_{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("\n".join(lines) + "\n")
    return root


def near_dedup(output: Path) -> list[str]:
    options = [
        f"output={output}",
        "shards=2",
        "from=signatures",
        "until=clusters",
    ]
    return [sys.executable, "-m", "spark_jobs", "run", *options]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(run, hashes) of one undisturbed run."""
    root = tmp_path_factory.mktemp("determinism")
    source, output = build(root / "source"), root / "whole"
    ingest = [
        "shards=2",
        f"input={source}",
        f"output={output}",
        "until=clusters",
    ]
    subprocess.run([sys.executable, "-m", "spark_jobs", "run", *ingest], check=True)
    found = hashes(str(output), TABLES)
    assert set(found) == set(TABLES)
    return output, found


@pytest.mark.parametrize(
    ("engine", "master", "variants"),
    [
        # Here and below, 0 edges let distributed rounds find the components.
        ("sail", "", ("1,false,1,1000000", "5,false,2,1000000", "3,false,3,0")),
        pytest.param(
            *("spark", "local[2]", ("1,false,1,1000000", "3,true,2,1000000")),
            marks=pytest.mark.nightly,
        ),
        ("spark", "local-cluster[2,1,1024]", ("8,false,3,0",)),
    ],
    ids=["sail", "one executor", "two executors"],
)
def test_neither_engine_nor_partitions_nor_order_nor_executors_change_a_row(
    whole, tmp_path, engine, master, variants
):
    if engine == "spark":
        require_jvm()
    run, want = whole
    command = [sys.executable, "-m", "tests.dedup_variants", run, tmp_path, f"{engine},{master}"]
    subprocess.run([*command, *variants], check=True)
    for number in range(len(variants)):
        assert hashes(str(tmp_path / str(number)), TABLES) == want, variants[number]


def test_ten_kills_at_random_moments_change_no_row(whole, tmp_path):
    run, want = whole
    for table in ("contents", "files", "repos"):
        shutil.copytree(run / "tables" / table, tmp_path / "tables" / table)
    draw = random.Random(10)
    log = tmp_path / "curate/engine.log"
    killed = 0
    while killed < KILLS:
        log.unlink(missing_ok=True)
        process = subprocess.Popen(near_dedup(tmp_path), start_new_session=True)
        # The log is made when the engine is about to start.
        while not log.exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(draw.uniform(*SECONDS))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
        print(process.returncode, sorted(p.name for p in (tmp_path / "tables").iterdir()))
        if process.returncode == 0:
            # What is done cannot be killed, so that it begins anew.
            for table in TABLES:
                shutil.rmtree(tmp_path / "tables" / table)
        else:
            assert process.returncode == -signal.SIGKILL
    subprocess.run(near_dedup(tmp_path), check=True)
    assert hashes(str(tmp_path), TABLES) == want
