"""A finished and a half-finished run, written without Spark."""

from __future__ import annotations

import pytest

from tests.report import tiny


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    return str(tiny.write_run(tmp_path_factory.mktemp("finished")))


@pytest.fixture
def unfinished(tmp_path):
    """Stopped after clusters."""
    tiny.write_ingested(tmp_path)
    tiny.write_clusters(tmp_path)
    return str(tmp_path)
