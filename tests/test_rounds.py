"""The self-scoring loop: its commands, the tables of each round, and the comparison."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deltalake import DeltaTable

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.demo import DemoConfig
from demo import rounds
from seedbed.tables.reader import DeltaReader
from tests import round_stage
from tests.report import tiny

ROOT = Path(__file__).parents[1]


def words(k, name):
    cfg = load(DemoConfig, ROOT / "conf/demo/small.yaml", ["output=R"])
    folders = [Path("R/round-0"), Path("R/round-1"), Path("R/round-2")]
    stages = {
        stage.name: stage.command for stage in rounds.round_stages(cfg, folders, k, ["a", "b-c"])
    }
    return " ".join(stages[name])


def test_only_the_scorer_that_selects_and_the_folder_differ_from_round_to_round():
    assert "score.scorer" not in words(0, "curate")
    assert "score.scorer=R/round-0/scorers/language_model" in words(1, "curate")
    assert "select.val_repos=[a,b-c] from=decisions" in words(1, "curate")
    for name in ("pretrain", "holdout", "scorer", "score"):
        assert words(1, name).replace("round-1", "round-2").replace("round-0", "X") == words(
            2, name
        ).replace("round-0", "X")
    assert all(words(k, "holdout").endswith("--holdout R/round-0") for k in (0, 1, 2))


def test_a_round_writes_into_tables_of_its_own(tmp_path):
    before, after = tmp_path / "round-0", tmp_path / "round-1"
    tiny.write_run(before)
    was = {path: path.read_bytes() for path in sorted(before.rglob("*")) if path.is_file()}
    rounds.inherit(before, after)
    names = DeltaReader(str(after)).names
    assert set(names) == {name for name in rounds.INHERITED if (before / "tables" / name).is_dir()}
    assert "documents" not in names
    scores = DeltaTable(str(after / "tables/scores"))
    rows = scores.to_pyarrow_table()
    tiny.write_table(after, "scores", rows.to_pylist()[:1])
    DeltaTable(str(after / "tables/scores")).create_checkpoint()
    DeltaTable(str(after / "tables/scores")).vacuum(
        0, dry_run=False, enforce_retention_duration=False
    )
    assert {path: path.read_bytes() for path in sorted(before.rglob("*")) if path.is_file()} == was
    assert DeltaTable(str(before / "tables/scores")).to_pyarrow_table().num_rows == rows.num_rows
    # A second call leaves what the round has written.
    rounds.inherit(before, after)
    assert DeltaTable(str(after / "tables/scores")).to_pyarrow_table().num_rows == 1
    assert not (after / "scorers/language_model").exists()


def test_a_round_is_compared_by_its_selection_its_model_and_its_scorer(tmp_path):
    tiny.write_run(tmp_path)
    tiny.write_json(tmp_path / "pretrain/holdout.json", {"bits_per_byte": 2.5})
    found = rounds.outcome(tmp_path)
    assert (found["selected_by"], found["documents"], found["train_tokens"]) == (tiny.SCORER, 3, 8)
    assert (found["bits_per_byte"], found["scorer"], found["label_mae"]) == (
        2.5,
        "language_model-1",
        1.4,
    )
    assert sum(found["mix"].values()) == pytest.approx(1, abs=1e-3)
    assert found["licenses"] == {"MIT": 1.0}
    lines = rounds.table([found]).splitlines()
    assert "2.5000" in lines[1]
    assert tiny.SCORER in lines[1]
    assert lines[2] == "languages by bytes"
    assert lines[4:] == ["licences by bytes", f"{tmp_path.name:<9}  MIT 100.0%"]
    assert json.loads(json.dumps(found)) == found
    assert (
        rounds.validation_repos(tmp_path) == ["second"] or rounds.validation_repos(tmp_path) == []
    )


def test_one_round_compares_nothing():
    with pytest.raises(SeedbedError, match="compares nothing"):
        rounds.main(["--rounds", "1"])
    with pytest.raises(SeedbedError, match="compares nothing"):
        rounds.main(["rounds=1"])


LOOP = """
import sys
from demo import rounds
from demo.stages import Stage, module
prepared, output = sys.argv[1:]
def stand_ins(cfg, folders, k, repos):
    return [
        Stage(n, "stand-in", module("tests.round_stage", n, str(folders[k]), prepared), 1)
        for n in ("curate", "pretrain", "holdout", "scorer", "score")
    ]
rounds.round_stages = stand_ins
rounds.main(["--config", "conf/demo/small.yaml", f"output={output}"])
"""


def loop(prepared, output):
    return [sys.executable, "-c", LOOP, str(prepared), str(output)]


def files_of(folder):
    """The content of every file that a round leaves, except for its logs and the page."""
    found = (
        p
        for p in sorted(folder.rglob("*"))
        if p.is_file() and "logs" not in p.parts and p.suffix != ".html"
    )
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
def test_a_loop_killed_again_and_again_ends_with_the_figures_of_one_that_was_not(tmp_path):
    """SIGKILL goes to the loop alone: within a stage, between two stages, and in round 1."""
    prepared, whole, killed = tmp_path / "prepared", tmp_path / "whole", tmp_path / "killed"
    tiny.write_run(prepared)
    subprocess.run(loop(prepared, whole), check=True, cwd=ROOT)
    for mark, lines in (
        ("round-0/pretrain/steps", 7),
        ("round-0/scored", 10),
        ("round-1/tables", 0),
        ("round-1/scored", 3),
    ):
        process = subprocess.Popen(
            loop(prepared, killed), cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        file = killed / mark
        while not (
            file.is_dir() or (file.exists() and len(file.read_text().splitlines()) >= lines)
        ):
            assert process.poll() is None, f"ended before {mark}"
            time.sleep(0.005)
        process.kill()
        printed = process.communicate()[0]
        stages = [
            int(line.split()[1]) for line in printed.splitlines() if re.fullmatch(r"\w+ \d+", line)
        ]
        while not all(map(gone, stages)):
            time.sleep(0.01)
        # A stage that outlived the loop would have run to its end, and met itself in the next loop.
        if lines:
            assert len(file.read_text().splitlines()) < round_stage.STEPS, mark
    subprocess.run(loop(prepared, killed), check=True, cwd=ROOT)
    assert json.loads((killed / "rounds.json").read_text()) == json.loads(
        (whole / "rounds.json").read_text()
    )
    assert files_of(killed) == files_of(whole)
