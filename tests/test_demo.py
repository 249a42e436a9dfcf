"""The parts of the demo: pinned sources, stages, and expected against obtained."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.demo import DemoConfig
from demo import fetch, rounds
from demo.__main__ import main as demo_main
from demo.expectations import Comparison, Expected, compare, read_expected, table
from demo.run_stage import run_stage
from demo.stages import Stage, check_programs, stages

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


def test_the_folder_and_the_sources_are_words(tmp_path, capsys):
    (tmp_path / "sources.txt").write_text("# none\n")
    assert fetch.main([f"sources={tmp_path}/sources.txt", f"folder={tmp_path}/w"]) == 0
    assert capsys.readouterr().out == f"0 wheels, 0 MB in {tmp_path}/w\n"


def test_counts_are_compared_exactly_and_trained_figures_by_bounds(monkeypatch):
    obtained = {"funnel.seen": 10, "loss": 5.0, "gain": 0.05}
    monkeypatch.setattr("demo.expectations.measure", lambda output: obtained)
    values = {"funnel.seen": 11, "loss": {"max": 5.2}, "gain": {"min": 0.1}, "absent": 1}
    rows = compare("x", Expected(values=values, seconds={}))
    assert [row.ok for row in rows] == [False, True, False, False]
    assert rows[3].obtained == "missing"


@pytest.mark.parametrize(
    ("bound", "value", "ok"),
    [
        (7, 7, True),
        (7, 8, False),
        ({"max": 5.0}, 5.0, True),
        ({"max": 5.0}, 5.1, False),
        ({"min": 5.0}, 5.0, True),
        ({"min": 5.0}, 4.9, False),
        ({"min": 1.0, "max": 2.0}, 0.9, False),
        ({"min": 1.0, "max": 2.0}, 1.5, True),
        ({"min": 1.0, "max": 2.0}, 2.1, False),
        ({"max": 5.0}, float("nan"), False),
        ({"min": 5.0}, float("nan"), False),
        ({"max": 5.0}, None, False),
    ],
)
def test_a_bound_holds_up_to_its_edge_and_not_beyond(monkeypatch, bound, value, ok):
    obtained = {} if value is None else {"loss": value}
    monkeypatch.setattr("demo.expectations.measure", lambda output: obtained)
    [row] = compare("x", Expected(values={"loss": bound}, seconds={}))
    assert row.ok is ok


def test_both_bounds_are_shown(monkeypatch):
    monkeypatch.setattr("demo.expectations.measure", lambda output: {})
    bounds = [{"min": 1}, {"max": 2.0}, {"min": 1, "max": 2}]
    rows = compare("x", Expected(values=dict(enumerate(bounds)), seconds={}))
    assert [row.expected for row in rows] == [">= 1", "<= 2.000", "1 to 2"]


@pytest.mark.parametrize("bound", ["{maximum: 5}", "{max: many}", "many", "{}", "{max: null}"])
def test_an_expectation_that_could_never_fail_is_refused(tmp_path, bound):
    file = tmp_path / "expected.yaml"
    file.write_text(f"values:\n  loss: {bound}\nseconds: {{}}\n")
    with pytest.raises(SeedbedError, match=r"values.loss is .*, neither a number nor bounds"):
        read_expected(file)


def run(tmp_path: Path, program: str) -> str:
    stage = Stage("work", "", [sys.executable, "-c", program], 1)
    run_stage(stage, tmp_path / "work.log")
    return (tmp_path / "work.log").read_text()


def test_a_stage_leaves_its_output_in_its_log(tmp_path):
    assert run(tmp_path, "import sys; print(1, flush=True); print(2, file=sys.stderr)") == "1\n2\n"


@pytest.mark.parametrize(
    ("program", "end"),
    [
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL, as the system does"),
        ("import os; os.kill(os.getpid(), 15)", "was killed by SIGTERM"),
    ],
)
def test_a_stage_that_fails_or_is_killed_stops_the_demo(tmp_path, program, end):
    with pytest.raises(SeedbedError) as caught:
        run(tmp_path, program)
    assert f"stage work {end}" in caught.value.problem
    assert str(tmp_path / "work.log") in caught.value.fix


def test_the_help_names_all_that_the_demo_can_start(capsys):
    with pytest.raises(SystemExit):
        demo_main(["--help"])
    said = capsys.readouterr().out
    for program in ("python -m demo ", "python -m demo.rounds ", "python -m demo.fetch "):
        assert program in said


def test_the_table_marks_what_differs():
    text = table([Comparison("a", "1", "1", True), Comparison("b", "1", "2", False)])
    assert text.splitlines()[1].endswith("ok")
    assert text.splitlines()[2].endswith("DIFFERS")


def test_the_short_profile_gives_its_golden_counts():
    output = os.environ.get("SEEDBED_OUTPUT")
    if not output:
        pytest.skip(
            "SEEDBED_OUTPUT names no run: make demo PROFILE=small OUTPUT=runs/ci, "
            "then SEEDBED_OUTPUT=runs/ci"
        )
    expected = read_expected(ROOT / "conf/demo/expected_small.yaml")
    counted = {name: value for name, value in expected.values.items() if isinstance(value, int)}
    assert counted
    assert all(row.ok for row in compare(output, Expected(counted, {})))


@pytest.mark.parametrize("program", [demo_main, rounds.main])
def test_a_scorer_beyond_its_models_positions_is_refused_before_the_first_stage(
    tmp_path: Path, program: Callable[[list[str]], int]
) -> None:
    longer = tmp_path / "pretrain.yaml"
    longer.write_text("model: {seq_length: 64}\nscorer: {max_tokens: 65}\n")
    options = ["--config", "conf/demo/small.yaml", f"output={tmp_path / 'run'}"]
    with pytest.raises(SeedbedError, match=r"scorer.max_tokens=65 is above the 64 positions"):
        program([*options, f"pretrain={longer}"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("profile", ["full", "small"])
def test_the_programs_of_a_profile_accept_its_settings(profile: str) -> None:
    check_programs(load(DemoConfig, f"conf/demo/{profile}.yaml"))
