"""Arithmetic of the page's sections: ranks with ties, and which problems gained most."""

from __future__ import annotations

from typing import Any

import pytest

from report.blocks import SideBySide
from report.sections import grpo, quality


def test_ties_share_their_mean_rank():
    assert quality._ranks([3.0, 1.0, 3.0, 7.0, 3.0, 1.0]) == [4.0, 1.5, 4.0, 6.0, 4.0, 1.5]


@pytest.mark.parametrize(
    ("xs", "ys", "expected"),
    [
        # By hand: ranks 1, 2.5, 2.5, 4 against 1, 2, 4, 3: 3 / sqrt(4.5 * 5).
        ([1, 2, 2, 5], [10, 20, 90, 80], 3.0 / (4.5 * 5) ** 0.5),
        ([1, 2, 3], [6, 5, 4], -1.0),
        ([1, 1, 1], [1, 2, 3], 0.0),
    ],
)
def test_the_rank_correlation_is_spearmans(xs, ys, expected):
    assert quality._spearman(xs, ys) == pytest.approx(expected)


def item(task: str, *verdicts: str) -> dict[str, Any]:
    samples = [{"verdict": verdict, "completion": task, "reason": ""} for verdict in verdicts]
    return {"task_id": task, "prompt": f"p {task}", "samples": samples}


def test_the_problems_that_gained_most_come_first_and_ties_by_name():
    before = [
        item("lost", "pass", "pass"),
        item("b", "fail", "fail"),
        item("most", "fail", "fail"),
        item("a", "fail", "fail"),
        item("gone", "fail", "fail"),
    ]
    after = [
        item("lost", "fail", "fail"),
        item("b", "pass", "fail"),
        item("a", "fail", "pass"),
        item("new", "pass", "pass"),
        item("most", "pass", "pass"),
    ]
    shown = [block for block in grpo._examples(before, after) if isinstance(block, SideBySide)]
    assert [pair.blocks[1].title for pair in shown] == ["p most", "p a", "p b", "p lost"]


def test_turns_are_told_at_the_first_step_and_at_the_last():
    ended = {"passed": 3, "cut": 1}
    rows = [
        {"step": n, "turns": 1.5, "reward_after": [0.25, 0.25 * n], "masked_tokens": 40.0 + n}
        for n in (1, 2, 3)
    ]
    table = grpo._turns([{**row, "ended": ended} for row in rows])
    assert table.rows == [
        ["1", "1.50", "0.250 → 0.250", "41", "passed 3, cut 1"],
        ["3", "1.50", "0.250 → 0.750", "43", "passed 3, cut 1"],
    ]
