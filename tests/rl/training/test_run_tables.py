"""The tables follow the journals, and have every row once after any kill.

Kills come between a journal, a checkpoint and a commit.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from conf.errors import SeedbedError
from rl import rescore
from rl.problems import problem_set
from rl.training.run_tables import StageTables
from seedbed import jsonl
from seedbed.queries.certify import hashes
from seedbed.queries.status import status
from seedbed.sandbox import Sandbox
from seedbed.tables import writer
from seedbed.tables.catalog import TABLES
from seedbed.tables.reader import DeltaReader

# Samples per step.
SAMPLES = 4


def journal_row(step: int, place: int) -> dict:
    return {
        "step": step,
        "policy": step - 1,
        "task_id": f"t{step % 3}",
        "prompt": "Write f.",
        "completion": f"def f(xs):\n    return {step * place}",
        "verdict": "pass" if place == 0 else "fail",
        "reason": "" if place == 0 else "AssertionError",
        "reward": float(place == 0),
        "advantage": 0.5,
        "trains": True,
        "finished": True,
        "prompt_tokens": [1, 2],
        "tokens": [3, step, place],
        "logprobs": [-0.5, -1.25, -0.125],
    }


class Killed(BaseException):
    pass


def grpo(output: Path, steps: int, save_every: int, kill_at: int = -1) -> None:
    """Writes journal, checkpoint and tables as rl.grpo does; killed at its write `kill_at`."""
    folder = output / "rl/grpo"
    folder.mkdir(parents=True, exist_ok=True)
    journal, checkpoint = folder / "rollouts.jsonl", folder / "latest"
    writes = iter(range(10_000))

    def write(work) -> None:
        if next(writes) == kill_at:
            raise Killed
        work()

    def save(journaled: list[str]) -> None:
        journal.write_text("".join(journaled))

    done = int(checkpoint.read_text()) if checkpoint.is_file() else 0
    lines = journal.read_text().splitlines(keepends=True) if journal.is_file() else []
    lines = [line for line in lines if json.loads(line)["step"] <= done]
    tables = StageTables(str(output), "grpo", {"settings": "s"})
    if done == 0:
        write(lambda: tables.begin("problems", "rollouts"))
    row = {"task_id": "t", "prompt": "p", "code": "c", "test_list": ["assert f([]) == 0"]}
    write(lambda: tables.problems({"train": [(row, problem_set.parse(row))]}))
    write(lambda: save(lines))
    write(lambda: tables.rollouts_of_steps(journal, done))
    for step in range(done + 1, steps + 1):
        lines += [json.dumps(journal_row(step, place)) + "\n" for place in range(SAMPLES)]
        write(lambda lines=lines: save(lines))
        if step % save_every == 0 or step == steps:
            write(lambda step=step: checkpoint.write_text(str(step)))
            write(lambda step=step: tables.rollouts_of_steps(journal, step))


def test_a_run_that_is_killed_anywhere_ends_in_the_tables_of_an_undisturbed_one(tmp_path):
    grpo(tmp_path / "whole", steps=7, save_every=2)
    whole = hashes(str(tmp_path / "whole"), ("problems", "rollouts"))
    rng = Random(1)
    for trial in range(12):
        output = tmp_path / f"part{trial}"
        kills = 0
        while True:
            try:
                grpo(output, steps=7, save_every=2, kill_at=rng.randrange(12) if kills < 4 else -1)
                break
            except Killed:
                kills += 1
        assert hashes(str(output), ("problems", "rollouts")) == whole
    rows = writer.rows(tmp_path / "whole/tables/rollouts", TABLES["rollouts"].key)
    assert len(rows) == 7 * SAMPLES
    assert [(row["step"], row["place"]) for row in rows[:5]] == [
        (1, 0),
        (1, 1),
        (1, 2),
        (1, 3),
        (2, 0),
    ]
    assert (rows[5]["tokens"], rows[5]["logprobs"], rows[5]["policy"]) == (
        [3, 2, 1],
        [-0.5, -1.25, -0.125],
        1,
    )


def test_a_run_that_begins_anew_takes_out_its_own_rows_and_leaves_the_other_stages(tmp_path):
    out = str(tmp_path)
    dpo = StageTables(out, "dpo", {"settings": "s"})
    dpo.begin("rollouts", "pairs")
    samples = [{**journal_row(0, place), "task_id": "t"} for place in range(6)]
    dpo.samples(samples[:4])
    dpo.samples(samples)
    dpo.samples(samples)
    dpo.pairs(
        [
            {
                "task_id": "t",
                "prompt": "p",
                "chosen": "a",
                "rejected": "b",
                "verdict": "fail",
                "reason": "r",
            }
        ]
    )
    grpo(tmp_path, steps=3, save_every=1)
    for path in (tmp_path / "rl/grpo").iterdir():
        # The error about other settings tells the user to do this.
        path.unlink()
    grpo(tmp_path, steps=2, save_every=1)
    rows = writer.rows(tmp_path / "tables/rollouts", TABLES["rollouts"].key)
    assert [row["stage"] for row in rows] == ["dpo"] * 6 + ["grpo"] * 2 * SAMPLES
    assert len(writer.rows(tmp_path / "tables/pairs", ["place"])) == 1
    # Two steps and the beginning made three commits.
    before = DeltaTable(tmp_path / "tables/rollouts").version() - 3
    assert (
        len(DeltaTable(tmp_path / "tables/rollouts", version=before).to_pyarrow_table())
        == 6 + 3 * SAMPLES
    )


def test_commits_carry_the_lineage_and_status_knows_the_tables(tmp_path):
    grpo(tmp_path, steps=1, save_every=1)
    tables = StageTables(
        str(tmp_path),
        "sft",
        {"settings": "x"},
        [tmp_path / "tables/rollouts", tmp_path / "a.jsonl"],
    )
    tables.begin("problems")
    newest = json.loads(DeltaTable(tmp_path / "tables/problems").history(1)[0]["userMetadata"])
    assert newest["job"] == "rl.sft"
    assert newest["inputs"] == {"rollouts": 1}
    assert newest["params"] == {"settings": "x"}
    assert [
        line.split()[:3] for line in str(status(DeltaReader(str(tmp_path)))).splitlines()[-2:]
    ] == [
        ["problems", "1", "2"],
        ["rollouts", "4", "1"],
    ]


def test_rescore_reads_the_tables(tmp_path):
    tables = StageTables(str(tmp_path), "grpo", {})
    row = {
        "task_id": "t",
        "prompt": "Sum.",
        "code": "def f(xs):\n    return sum(xs)",
        "test_list": ["assert f([1, 2]) == 3"],
    }
    tables.problems({"train": [(row, problem_set.parse(row))]})
    StageTables(str(tmp_path), "dpo", {}).problems({"train": [(row, problem_set.parse(row))]})
    tables.samples(
        [
            {"task_id": "t", "completion": row["code"], "verdict": "pass", "reason": ""},
            {
                "task_id": "t",
                "completion": "def f(xs):\n    return 3",
                "verdict": "fail",
                "reason": "an older sandbox",
            },
        ]
    )
    [known] = problem_set.read(tmp_path / "tables/problems")
    assert known.code == row["code"]
    with Sandbox(1) as sandbox:
        [changed] = rescore.rescore(
            rescore.read(tmp_path / "tables/rollouts"), {"t": known}, sandbox
        )
    assert (changed["place"], changed["before"], changed["after"]) == (1, "fail", "pass")


def test_two_stages_with_different_tests_under_one_name_are_not_mixed(tmp_path):
    for stage, expected in (("sft", 3), ("grpo", 4)):
        row = {
            "task_id": "t",
            "prompt": "p",
            "code": "c",
            "test_list": [f"assert f([1, 2]) == {expected}"],
        }
        StageTables(str(tmp_path), stage, {}).problems({"train": [(row, problem_set.parse(row))]})
    with pytest.raises(SeedbedError, match="'t' stands there twice"):
        problem_set.read(tmp_path / "tables/problems")


def test_a_disk_that_is_full_is_told_with_the_table(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("No space left on device (os error 28)")

    monkeypatch.setattr(writer, "write_deltalake", full)
    with pytest.raises(
        SeedbedError, match=r"table rollouts at .* cannot be written: No space left"
    ):
        StageTables(str(tmp_path), "grpo", {}).samples([{}])


def test_a_table_from_before_there_were_turns_gets_their_columns(tmp_path):
    journal, log = (
        tmp_path / "rollouts.jsonl",
        StageTables(str(tmp_path), "grpo", {"settings": "s"}),
    )
    new = ("turns", "masked_tokens", "ended", "spans", "turn_rewards")
    assert TABLES["rollouts"].added == new
    old = {**journal_row(1, 0), "place": 0, "stage": "grpo"}
    path = str(tmp_path / "tables/rollouts")
    write_deltalake(path, pa.Table.from_pylist([old]), partition_by=["stage"])
    turns = {"turns": 2, "masked_tokens": 1, "ended": "passed", "spans": [0, 1, 2, 3]}
    turns["turn_rewards"] = [None, 1.0]
    jsonl.write(journal, [{**journal_row(2, 1), **turns}])
    log.rollouts_of_steps(journal, 2)
    [before, after] = writer.rows(tmp_path / "tables/rollouts", ["step"])
    assert [before[name] for name in new] == [None] * 5
    assert {name: after[name] for name in new} == turns


def test_rows_beyond_the_checkpoint_wait_for_the_next(tmp_path):
    journal = tmp_path / "rollouts.jsonl"
    jsonl.write(journal, [journal_row(step, place) for step in (1, 2, 3) for place in range(2)])
    tables = StageTables(str(tmp_path), "grpo", {"settings": "s"})
    tables.begin("rollouts")
    for reached in (2, 3):
        tables.rollouts_of_steps(journal, reached)
        rows = writer.rows(tmp_path / "tables/rollouts", TABLES["rollouts"].key)
        assert sorted({row["step"] for row in rows}) == list(range(1, reached + 1))
        assert len(rows) == 2 * reached
