"""One input and config give the same rows and token shards on every engine.

The input is real code and corpora that are drawn to hold what engines treat differently.

tests/test_spark_cluster.py shows the same for a standalone cluster, tests/test_spark_connect.py for
a Spark Connect server and tests/test_spark_yarn.py for YARN, all on this input.
"""

from __future__ import annotations

import subprocess

import pytest

from seedbed.queries.certify import hashes
from seedbed.tables.reader import DeltaReader
from tests import corpus
from tests.jvm import require_jvm

pytestmark = pytest.mark.slow


def test_the_input_gives_rows_to_every_table_that_engines_could_fill_differently(mixed):
    """Else equal hashes would say little."""
    db = DeltaReader(str(mixed[1]))
    least = {"near_edges": 30, "near_misses": 1, "repo_overlaps": 1, "syntax": 100, "documents": 50}
    rows = {name: db.one(f"SELECT count(*) AS n FROM {name}")["n"] for name in least}
    assert {name: rows[name] for name, number in least.items() if rows[name] < number} == {}
    reasons = {row["drop_reason"] for row in db.sql("SELECT DISTINCT drop_reason FROM files")}
    assert {"empty", "nul", "bad_utf8", "not_code"} <= reasons


def test_the_whole_line_gives_the_same_on_a_jvm_as_on_sail(mixed, tmp_path):
    require_jvm()
    source, on_sail = mixed
    output = tmp_path / "jvm"
    subprocess.run([*corpus.command(source, output), "spark.engine=spark"], check=True)
    assert hashes(str(output)) == hashes(str(on_sail))
    assert corpus.tokens_hash(output) == corpus.tokens_hash(on_sail)
