"""Stored rollouts under a new version of the tests."""

from __future__ import annotations

import json

import pytest

from conf.errors import SeedbedError
from rl import rescore
from seedbed.tables import writer

GOOD, BAD = "def f(x):\n    return abs(x)", "def f(x):\n    return x"
ROLLOUTS = [
    {"task_id": "p", "completion": GOOD, "verdict": "pass", "reason": "", "tokens": [1]},
    # The old tests were too weak.
    {"task_id": "p", "completion": BAD, "verdict": "pass", "reason": "", "tokens": [2]},
    {
        "task_id": "p",
        "completion": BAD,
        "verdict": "infrastructure",
        "reason": "killed from outside",
    },
]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_stronger_test_takes_a_reward_away_and_says_so(tmp_path, capsys):
    tests = ["assert f(2) == 2", "assert f(-2) == 2"]
    problems = write(
        tmp_path / "p.jsonl", [{"task_id": "p", "prompt": "abs", "code": GOOD, "test_list": tests}]
    )
    rollouts = write(tmp_path / "r.jsonl", ROLLOUTS)
    arguments = [
        f"--rollouts={rollouts}",
        f"problems={problems}",
        "--out",
        f"{tmp_path}/out.jsonl",
        "workers=1",
    ]
    assert rescore.main(arguments) == 0
    changed = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["place"], row["before"], row["after"]) for row in changed] == [
        (1, "pass", "fail"),
        (2, "infrastructure", "fail"),
    ]
    assert [(row["reward_before"], row["reward_after"]) for row in changed] == [
        (1.0, 0.0),
        (None, 0.0),
    ]
    assert "assert f(-2) == 2" in changed[0]["reason_after"]
    assert "3 rollouts, 2 verdicts and 2 rewards change" in capsys.readouterr().out


def test_rollouts_of_a_table_come_by_stage_step_and_place(tmp_path):
    # (stage, step, place, task): no other order of the columns gives the same order of rows.
    keys = [("grpo", 2, 0, "a"), ("grpo", 1, 1, "b"), ("grpo", 1, 0, "d"), ("dpo", 3, 4, "c")]
    rows = [
        {"stage": stage, "step": step, "place": place, "task_id": task, "verdict": "pass"}
        for stage, step, place, task in keys
    ]
    table = writer.Writer(tmp_path, "rollouts", "test")
    # Two commits, so that the order of the files is not that of the rows either.
    table.append(rows[:2], {}, 1)
    table.append(rows[2:], {}, 2)
    found = [row["task_id"] for row in rescore.read(tmp_path / "tables/rollouts")]
    assert found == ["c", "d", "b", "a"]


def test_a_rollout_of_an_unknown_problem_and_a_broken_line_are_named(tmp_path):
    with pytest.raises(
        SeedbedError, match="1 problems of the rollouts are not in the problems file, the first 'p'"
    ):
        rescore.rescore(ROLLOUTS, {}, None)
    path = write(tmp_path / "r.jsonl", ROLLOUTS[:1])
    path.write_text(path.read_text() + '{"task_id": "p", "comp')
    with pytest.raises(SeedbedError, match=r"r.jsonl:2 is not JSON"):
        rescore.read(path)
    path.write_text('{"task_id": "p", "completion": ""}')
    with pytest.raises(SeedbedError, match=r"r.jsonl:1 has no verdict"):
        rescore.read(path)
