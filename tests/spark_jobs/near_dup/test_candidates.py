"""Where candidate components are found."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from spark_jobs.near_dup import candidates


@pytest.mark.parametrize(("contents", "where"), [(32, "driver"), (33, "engine")])
def test_the_driver_holds_as_many_bytes_of_buckets_as_of_edges(monkeypatch, contents, where):
    # 100 edges of 64 bytes are 800 buckets of 8 bytes, those of 32 contents.
    near = SimpleNamespace(bands=25, driver_edges=100)
    signatures = SimpleNamespace(count=lambda: contents)
    ctx = SimpleNamespace(cfg=SimpleNamespace(near=near), inputs={"signatures": signatures})
    monkeypatch.setattr(candidates, "on_driver", lambda *_: "driver")
    monkeypatch.setattr(candidates, "on_engine", lambda *_: "engine")
    assert candidates.candidates(ctx, "job", lambda frame, step: frame) == where
