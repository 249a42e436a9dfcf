"""From completions to rewards, through the real sandbox."""

from __future__ import annotations

import pytest

from rl.problems import problem_set
from rl.rollouts import rewards
from rl.rollouts.rewards import Reward
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
        "unsupported",
        "error",
    ]
    found = rewards.shares(Reward(0.0, True, False, v, "") for v in verdicts)
    assert found == {
        "pass": 0.1,
        "wrong": 0.1,
        "error": 0.5,
        "timeout": 0.1,
        "infrastructure": 0.1,
        "unsupported": 0.1,
    }


SUM = problem_set.parse(
    {
        "task_id": "he",
        "prompt": 'from typing import List\n\n\ndef total(xs: List[int]) -> int:\n    """Sum."""\n',
        "canonical_solution": "    return sum(xs)\n",
        "entry_point": "total",
        "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n",
    }
)
WHOLE = "def total(xs: List[int]) -> int:\n    return sum(xs)\n"


@pytest.mark.parametrize(
    "completion",
    [
        "    return sum(xs)\n",
        "\n    return sum(xs)\n",
        f"```python\n{WHOLE}```",
        f"<think>\n    return 0\n</think>\n\nSo:\n```python\n{WHOLE}```\nThis sums.",
        "```python\n    return sum(xs)\n```",
        "```python\nreturn sum(xs)\n```",
        "    return sum(xs)\n```\nThis sums.",
        f"```python\nfrom __future__ import annotations\n\n{WHOLE}```",
        f"```python\nfrom typing import List\n\n{WHOLE}```",
    ],
)
def test_what_a_prompt_imports_holds_for_its_rest_and_for_the_whole_function(completion):
    with Sandbox(workers=1) as sandbox:
        [found] = rewards.score(sandbox, [SUM], [rewards.program_of(SUM, completion)])
    assert (found.verdict, found.malformed) == ("pass", False)


def test_a_rest_is_run_behind_its_prompt_to_the_last_character():
    recorder = Recorder("fail")
    rest = "    x = (\n\nThe sum of xs.\n"
    rewards.score(recorder, [SUM, SUM], [rewards.program_of(SUM, rest), SUM.code])
    assert [job.program for job in recorder.jobs] == [SUM.prompt + rest, SUM.code]


ADD = problem_set.parse(
    {"task_id": "add", "prompt": "Add.", "inputs": ["1 2\n", "5 5\n"], "outputs": ["3\n", "10\n"]}
)


def test_scripts_without_a_function_are_programs_right_or_wrong():
    programs = [
        "print(sum(map(int, input().split())))\n",
        "print(max(map(int, input().split())))\n",
        "def main():\n    print(max(map(int, input().split())))\nmain()\n",
        "I would add the two numbers.",
        "",
    ]
    with Sandbox(workers=1) as sandbox:
        found = rewards.score(sandbox, [ADD] * len(programs), programs)
    assert [r.verdict for r in found] == ["pass", "fail", "fail", "error", "error"]
    assert [r.malformed for r in found] == [False, False, False, True, True]
    assert [r.counted for r in found] == [True] * len(programs)


def test_no_program_is_no_pass_where_nothing_is_to_be_printed():
    silent = problem_set.parse({"task_id": "s", "prompt": "p", "inputs": ["1\n"], "outputs": [""]})
    [found] = rewards.score(Recorder("pass"), [silent], [rewards.program_of(silent, "I refuse.")])
    assert (found.value, found.verdict, found.reason) == (0.0, "error", rewards.NO_PROGRAM)


def test_an_unsupported_program_is_neither_right_nor_wrong():
    [found] = rewards.score(Recorder("unsupported"), [DOUBLE], ["def f(x): return 1"])
    assert (found.value, found.counted, found.verdict) == (0.0, False, "unsupported")


def test_the_names_that_tests_call_are_the_programs():
    assert rewards.tested(DOUBLE) == {"f"}
    assert rewards.tested(SUM) == {"total"}
    assert rewards.tested(ADD) == frozenset()
    own = {"task_id": "m", "text": "t", "code": "def sum(x):\n    return x"}
    more = ["import math", "assert sum(math.floor(1.5)) == 1"]
    assert rewards.tested(problem_set.parse({**own, "test_list": more})) == {"sum"}


def test_an_answer_that_is_a_value_is_judged_as_one():
    row = {"id": "q", "code": "def f(x):\n    return [x]", "input": "3", "output": "[3]"}
    problem = problem_set.parse(row)
    replies = ["<think>\nhm\n</think>\n```python\n[3]\n```", "It is\n[4]"]
    with Sandbox(workers=1) as sandbox:
        found = rewards.score(
            sandbox, [problem] * 2, [rewards.program_of(problem, reply) for reply in replies]
        )
    assert [(r.verdict, r.malformed) for r in found] == [("pass", False), ("fail", False)]
