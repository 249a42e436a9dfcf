"""One input and config give the same rows and token shards on every engine.

tests/test_spark_cluster.py shows the same for a standalone cluster, and tests/test_spark_connect.py
for a Spark Connect server.
"""

from __future__ import annotations

import subprocess

import pytest

from seedbed.queries.certify import hashes
from tests import corpus
from tests.jvm import require_jvm

pytestmark = pytest.mark.slow


def test_the_whole_line_gives_the_same_on_a_jvm_as_on_sail(curated, tmp_path):
    require_jvm()
    source, on_sail = curated
    output = tmp_path / "jvm"
    subprocess.run([*corpus.command(source, output), "spark.engine=spark"], check=True)
    assert hashes(str(output)) == hashes(str(on_sail))
    assert corpus.tokens_hash(output) == corpus.tokens_hash(on_sail)
