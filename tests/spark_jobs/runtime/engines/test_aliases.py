"""A run in a folder with an odd name: every byte lands there."""

from __future__ import annotations

import os

import pytest
from pyspark.sql import functions as F

from conf.loader import load
from conf.schema.curate import CurateConfig
from seedbed.tables.reader import DeltaReader
from spark_jobs.runtime.context import Context, Inputs
from spark_jobs.runtime.engines.aliases import Aliases
from spark_jobs.runtime.store import Store
from tests.spark_jobs.contents import HASHES, add_contents

ODD = ["a b", "a%b", "a#b", "é", "文", "a+b", "a?b", "a[1]b", "a*b", "{a}", "a&b", "a'b", "a:b"]


@pytest.mark.parametrize("name", ODD)
def test_tables_and_held_frames_are_written_where_they_should_be(spark, tmp_path, name):
    output = tmp_path / name / "run"
    output.mkdir(parents=True)
    store = Store(lambda: spark, str(output))
    add_contents(store, HASHES)
    add_contents(store, ["0a" * 32])
    assert store.last_commit("contents").version == 1
    assert store.read("contents", 0).count() == 16
    cfg = load(CurateConfig, None, [f"output={output}"])
    with Context(cfg, store, Inputs(store)).materialize("held") as hold:
        held = hold(store.read("contents").filter(F.col("bytes") > 0), "all")
        assert held.count() == 17
        assert (output / "curate/held/held/0").is_dir()
    assert len(DeltaReader(str(output)).sql("SELECT * FROM contents")) == 17
    assert os.listdir(tmp_path) == [name]


def test_only_what_is_odd_is_linked_and_the_links_go(tmp_path):
    aliases = Aliases()
    assert aliases.path(f"{tmp_path}/plain/x") == f"{tmp_path}/plain/x"
    one, two = (aliases.path(f"{tmp_path}/a b/{name}") for name in "xy")
    assert os.path.dirname(one) == os.path.dirname(two)
    assert os.path.realpath(one) == f"{tmp_path}/a b/x"
    aliases.close()
    assert not os.path.lexists(os.path.dirname(one))
    assert (tmp_path / "a b").is_dir()
