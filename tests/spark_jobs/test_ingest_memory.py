"""Ingest on Sail of more text than its memory pool holds."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from seedbed.queries.certify import hashes

RUN = (sys.executable, "-m", "spark_jobs", "run", "until=contents")
FILES, LINES = 5_000, 160


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """5,000 distinct files of 12 kB, 58 MB in all."""
    folder = tmp_path_factory.mktemp("in") / "repo"
    folder.mkdir()
    draw = random.Random(0)
    for number in range(FILES):
        lines = (f"value_{n} = '{draw.getrandbits(240):060x}'" for n in range(LINES))
        (folder / f"m{number}.py").write_text("\n".join(lines) + "\n")
    return folder.parent


def ingest(source, output, *settings):
    # A process of its own, since the tests share one server.
    return subprocess.run(
        [*RUN, f"input={source}", f"output={output}", *settings],
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=300,
    )


def test_texts_beyond_the_memory_pool_are_read_whatever_the_number_of_shards(source, tmp_path):
    found = {}
    for name, memory, shards in (("large", "1g", 4), ("small", "200m", 4), ("shards", "200m", 64)):
        done = ingest(source, tmp_path / name, f"spark.memory={memory}", f"shards={shards}")
        assert done.returncode == 0, done.stderr[-2000:]
        found[name] = hashes(str(tmp_path / name))
    assert found["small"] == found["large"]
    assert found["shards"]["repos"] == found["large"]["repos"]
