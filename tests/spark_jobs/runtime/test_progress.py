"""What a long action shows on the terminal."""

from __future__ import annotations

import time
from types import SimpleNamespace

from spark_jobs.runtime import progress


def engine(*answers):
    """An engine that tells of its tasks what `answers` hold, one after the other."""
    given = list(answers)
    return SimpleNamespace(
        describe=lambda step: None, tasks=lambda: given.pop(0) if len(given) > 1 else given[0]
    )


def shown(monkeypatch, capfd, running, tmp_path) -> str:
    monkeypatch.setattr(progress, "PAUSE", 0.05)
    with progress.watch_writing("pairs", running, str(tmp_path), "held"):
        time.sleep(0.5)
    return capfd.readouterr().err


def test_tasks_are_counted_with_the_time_left(monkeypatch, capfd, tmp_path):
    told = shown(monkeypatch, capfd, engine((0, 8), (2, 8)), tmp_path)
    assert "pairs:  25%" in told
    assert "2/8" in told


def test_an_engine_that_tells_nothing_is_judged_by_what_is_on_disk(monkeypatch, capfd, tmp_path):
    (tmp_path / "held/shard=1").mkdir(parents=True)
    (tmp_path / "held/shard=1/part").write_bytes(bytes(3_200_000))
    assert "pairs: 3.2 MB" in shown(monkeypatch, capfd, engine(None), tmp_path)


def test_a_short_action_shows_nothing(capfd, tmp_path):
    with progress.watch_writing("pairs", engine((1, 1)), str(tmp_path), "held"):
        pass
    assert "pairs" not in capfd.readouterr().err
