"""The demo's own parts: pinned sources, stages, and expected against obtained."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.demo import DemoConfig
from demo import fetch
from demo.expectations import Expected, Row, compare, read_expected, table
from demo.stages import stages

ROOT = Path(__file__).parents[1]


def test_every_profile_names_files_that_exist_and_a_duration_for_each_stage():
    for profile in ("full", "small"):
        cfg = load(DemoConfig, ROOT / f"conf/demo/{profile}.yaml")
        for file in (cfg.sources, cfg.curate, cfg.pretrain, cfg.sft, cfg.grpo, cfg.expected):
            assert (ROOT / file).is_file()
        assert all(
            stage.seconds > 0 for stage in stages(cfg, read_expected(ROOT / cfg.expected).seconds)
        )


def test_the_demo_reads_34_pinned_wheels_and_the_short_profile_six_of_them():
    full = fetch.read_sources(ROOT / "conf/curate/demo_sources.txt")
    small = fetch.read_sources(ROOT / "conf/curate/demo_small_sources.txt")
    assert (len(full), len(small)) == (34, 6)
    assert set(small) <= set(full)


def test_a_source_without_a_hash_is_refused_with_its_line(tmp_path):
    file = tmp_path / "sources.txt"
    file.write_text("# pinned\nflask==3.1.0\n")
    with pytest.raises(SeedbedError, match=r"sources\.txt:2"):
        fetch.read_sources(file)


def test_a_file_that_is_none_of_the_pinned_ones_is_refused(tmp_path):
    (tmp_path / "other.whl").write_bytes(b"x")
    with pytest.raises(SeedbedError, match=r"other\.whl is none of the pinned wheels"):
        fetch.fetch([], tmp_path)


def test_what_is_there_already_is_not_downloaded_again(tmp_path, monkeypatch):
    (tmp_path / "a.whl").write_bytes(b"x")
    monkeypatch.setattr(fetch, "_download", lambda source, folder: pytest.fail("downloaded again"))
    fetch.fetch([fetch.Source("a==1", hashlib.sha256(b"x").hexdigest())], tmp_path)


def test_counts_are_compared_exactly_and_trained_figures_by_bounds(monkeypatch):
    obtained = {"funnel.seen": 10, "loss": 5.0, "gain": 0.05}
    monkeypatch.setattr("demo.expectations.measure", lambda output: obtained)
    values = {"funnel.seen": 11, "loss": {"max": 5.2}, "gain": {"min": 0.1}, "absent": 1}
    rows = compare("x", Expected(values=values, seconds={}))
    assert [row.ok for row in rows] == [False, True, False, False]
    assert rows[3].obtained == "missing"


def test_the_table_marks_what_differs():
    text = table([Row("a", "1", "1", True), Row("b", "1", "2", False)])
    assert text.splitlines()[1].endswith("ok")
    assert text.splitlines()[2].endswith("DIFFERS")


def test_the_short_profile_gives_its_golden_counts():
    output = os.environ.get("SEEDBED_OUTPUT")
    if not output:
        pytest.skip(
            "SEEDBED_OUTPUT names no run: make demo PROFILE=small OUTPUT=runs/ci, then SEEDBED_OUTPUT=runs/ci"
        )
    expected = read_expected(ROOT / "conf/demo/expected_small.yaml")
    counted = {name: value for name, value in expected.values.items() if isinstance(value, int)}
    assert counted
    assert all(row.ok for row in compare(output, Expected(counted, {})))
