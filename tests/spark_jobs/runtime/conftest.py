"""What the tests of the runtime share."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from conf.loader import load
from conf.schema.curate import CurateConfig
from spark_jobs.runtime.job import execute
from spark_jobs.runtime.store import Store
from tests.spark_jobs.contents import HASHES, add_contents


@pytest.fixture
def run(spark, tmp_path):
    """A run with 16 contents over 4 shards, and `job(JOB, overrides)` to execute on it."""
    cfg = load(CurateConfig, None, [f"output={tmp_path}", "shards=4"])
    store = Store(lambda: spark, str(tmp_path))
    add_contents(store, HASHES)

    def job(one, *overrides):
        return execute(
            one, load(CurateConfig, None, [f"output={tmp_path}", "shards=4", *overrides])
        )

    return SimpleNamespace(cfg=cfg, store=store, job=job, path=tmp_path)
