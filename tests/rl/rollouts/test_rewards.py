"""From completions to rewards, through the real sandbox."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from rl.problems import problem_set
from rl.rollouts import rewards
from rl.rollouts.rewards import Reward, extract_program
from seedbed.sandbox import Limits, Sandbox, Verdict

DOUBLE = problem_set.parse(
    {
        "task_id": "d",
        "prompt": "double",
        "code": "def f(x):\n    return x * 2",
        "test_list": ["assert f(2) == 4"],
    }
)
TRIPLE = problem_set.parse(
    {
        "task_id": "t",
        "prompt": "triple",
        "code": "def f(x):\n    return x * 3",
        "test_list": ["assert f(2) == 6"],
    }
)


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        ("def f(x):\n    return x", "def f(x):\n    return x"),
        ("Here:\n```python\ndef f(x):\n    return x\n```\nDone.", "def f(x):\n    return x\n"),
        ("```\na = 1\n```\nbetter:\n```py\na = 2\n```", "a = 2\n"),
        ("```python\ndef f(x):\n    retu", "def f(x):\n    retu"),
        ("<think>\n```\na = 1\n```\n</think>\nSo:\n```\na = 2\n```", "a = 2\n"),
        ("```\na = 1\n```\n</think>\n\ndef f(x):\n    return x", "\n\ndef f(x):\n    return x"),
        ("<think>\nI could write\n```\na = 1\n```\nor", ""),
    ],
)
def test_the_program_is_the_last_fenced_block_of_the_answer_or_all_of_it(completion, program):
    assert extract_program(completion) == program


def test_rewards_are_the_sandboxs_verdicts():
    programs = {
        "def f(x):\n    return x * 2": (1.0, "pass"),
        "def f(x):\n    return x * 3": (0.0, "fail"),
        "def f(x):\n    return y": (0.0, "error"),
        "def f(x)\n    return": (0.0, "error"),
        "nonsense": (0.0, "error"),
        "import os\ndef f(x):\n    os._exit(0)": (0.0, "error"),
    }
    with Sandbox(workers=1) as sandbox:
        scored = rewards.score(sandbox, [DOUBLE] * len(programs), list(programs))
    assert [(r.value, r.verdict) for r in scored] == list(programs.values())
    assert all(r.counted for r in scored)
    assert [r.malformed for r in scored] == [False, False, False, False, True, False]


class Recorder:
    """Stands in for the sandbox: one verdict for all, and a record of what it was asked."""

    def __init__(self, verdict: str):
        self.verdict, self.jobs = verdict, []

    def run(self, jobs):
        self.jobs = list(jobs)
        return [Verdict(job.task_id, self.verdict, "", 0.0, 0.0, 0) for job in self.jobs]


def test_an_outage_is_never_a_wrong_answer():
    scored = rewards.score(Recorder("infrastructure"), [DOUBLE], ["def f(x): return 1"])
    assert not scored[0].counted
    assert rewards.mean_reward([*scored, Reward(1.0, True, False, "pass", "")]) == 1.0


def test_the_problems_own_solution_stretches_the_limit_and_where_it_fails_nothing_is_counted(
    capsys,
):
    slow = "import time\ndef f(x):\n    while time.process_time() < 0.9: pass\n    return 2 * x"
    rows = [
        {"task_id": "slow", "prompt": "p", "code": slow, "test_list": ["assert f(2) == 4"]},
        {
            "task_id": "wrong",
            "prompt": "p",
            "code": "def f(x): return x",
            "test_list": ["assert f(2) == 4"],
        },
    ]
    chosen = [problem_set.parse(row) for row in rows]
    with Sandbox(1, Limits(cpu_seconds=0.5, wall_seconds=9)) as sandbox:
        first, second = rewards.score(
            sandbox, chosen, [slow.replace("2 * x", "x * 2"), "def f(x): return 2 * x"]
        )
    assert (first.verdict, first.counted) == ("pass", True)
    assert (second.verdict, second.counted) == ("infrastructure", False)
    assert (
        capsys.readouterr().err
        == "dropped: task 'wrong': the problem's reference does not pass its tests: "
        + ("fail: AssertionError in `assert f(2) == 4`\n")
    )


def test_the_same_program_for_the_same_problem_is_judged_once():
    recorder = Recorder("pass")
    scored = rewards.score(recorder, [DOUBLE, DOUBLE, TRIPLE], ["a", "a", "a"])
    assert [job.task_id for job in recorder.jobs] == ["d", "t"]
    assert len(scored) == 3


def test_shares_sum_to_one_and_every_other_failure_is_an_error():
    verdicts = [
        "pass",
        "fail",
        "error",
        "memory",
        "output",
        "forbidden",
        "timeout",
        "infrastructure",
    ]
    found = rewards.shares(Reward(0.0, True, False, v, "") for v in verdicts)
    assert found == {
        "pass": 0.125,
        "wrong": 0.125,
        "error": 0.5,
        "timeout": 0.125,
        "infrastructure": 0.125,
    }


def test_an_outage_drops_no_problem():
    class Down:
        def run(self, jobs):
            return [
                Verdict(job.task_id, "infrastructure", "the fork server ended", 0.0, 0.0, 0)
                for job in jobs
            ]

    with pytest.raises(
        SeedbedError, match="no verdict on the solution of d: the fork server ended"
    ):
        rewards.failing_references(Down(), [DOUBLE])
