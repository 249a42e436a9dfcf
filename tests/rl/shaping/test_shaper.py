"""Rewards from fractions of tests and from a user's function; their errors are no wrong answers."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from conf.errors import SeedbedError
from conf.schema.rl import RewardConfig
from rl.problems import problem_set
from rl.rollouts.rewards import Reward
from rl.rollouts.sampler import Rollout
from rl.shaping.custom import RewardFunction
from rl.shaping.partial_credit import Judged, single_tests, with_fractions
from rl.shaping.shaper import Shaper, _told
from seedbed.inference.engine import Sample
from seedbed.sandbox import CallTests, Sandbox, StdioTests, Verdict

OWN = "tests.rl.shaping.own_rewards"
ASSERTS = {
    "task_id": "abs",
    "prompt": "p",
    "code": "def f(x):\n    return abs(x)",
    "test_list": ["assert f(2) == 2", "assert f(0) == 0", "assert f(-3) == 3", "assert f(-1) == 1"],
}
CHECK = {
    "task_id": "check",
    "prompt": "def f(x):\n",
    "entry_point": "f",
    "canonical_solution": "    return abs(x)\n",
    "test": "def check(candidate):\n    base = 1\n    assert candidate(base) == 1\n"
    "    for n in (2, 3):\n        assert candidate(n) == n\n    assert candidate(-1) == base\n",
}
STDIN = {
    "task_id": "stdin",
    "prompt": "p",
    "code": "print(abs(int(input())))",
    "inputs": ["2\n", "-2\n", "3\n"],
    "outputs": ["2\n", "2\n", "3\n"],
}
WRONG = "def f(x):\n    return x"


def judged(row: dict, program: str, verdict: str = "fail", malformed: bool = False) -> Judged:
    reward = Reward(float(verdict == "pass"), verdict != "infrastructure", malformed, verdict, "")
    return Judged(problem_set.parse(row), program, reward)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(workers=1) as pool:
        yield pool


def test_a_failing_program_gets_the_share_of_the_tests_that_it_passes_alone(sandbox):
    some = [
        judged(ASSERTS, WRONG),
        judged(CHECK, WRONG),
        judged(STDIN, "print(input())"),
        judged(ASSERTS, ASSERTS["code"], "pass"),
        judged(ASSERTS, "no program", "error", malformed=True),
        judged(ASSERTS, WRONG, "infrastructure"),
    ]
    found = with_fractions(sandbox, some, most=8)
    # Two of four asserts; an assert and a loop of three units; two of three cases.
    assert [reward.value for reward in found] == [2 / 4, 2 / 3, 2 / 3, 1.0, 0.0, 0.0]
    assert [reward.verdict for reward in found] == [one.reward.verdict for one in some]
    assert [reward.counted for reward in found] == [True] * 5 + [False]


class Scripted:
    """A sandbox with given outcomes."""

    def __init__(self, *outcomes: str):
        self.outcomes, self.seen = outcomes, []

    def run(self, jobs):
        self.seen = list(jobs)
        return [
            Verdict(j.task_id, v, "why", 0.0, 0.0, 0)
            for j, v in zip(self.seen, self.outcomes, strict=True)
        ]


def test_passing_every_test_alone_is_not_passing_them_together():
    [reward] = with_fractions(Scripted(*["pass"] * 4), [judged(ASSERTS, WRONG, "timeout")], 8)
    assert reward.value == 3 / 4


def test_no_test_is_asked_about_a_reply_without_a_program_or_a_verdict():
    some = [
        judged(ASSERTS, "def f(x):", "error", malformed=True),
        judged(ASSERTS, WRONG, "infrastructure"),
        judged(ASSERTS, ASSERTS["code"], "pass"),
    ]
    sandbox = Scripted()
    assert with_fractions(sandbox, some, 8) == [one.reward for one in some]
    assert sandbox.seen == []


def test_a_test_without_a_verdict_masks_the_sample():
    sandbox = Scripted("pass", "infrastructure", "fail", "fail")
    [reward] = with_fractions(sandbox, [judged(ASSERTS, WRONG)], 8)
    assert (reward.counted, reward.verdict, reward.reason) == (False, "infrastructure", "why")


def test_equal_programs_are_judged_once_and_only_so_many_tests():
    sandbox = Scripted("pass", "fail")
    found = with_fractions(sandbox, [judged(ASSERTS, WRONG)] * 3, most=2)
    assert [reward.value for reward in found] == [0.5] * 3
    assert {job.reference for job in sandbox.seen} == {ASSERTS["code"]}
    # The first and the third test.
    assert ["f(2)" in sandbox.seen[0].tests.code, "f(-3)" in sandbox.seen[1].tests.code] == [
        True,
        True,
    ]


def test_single_tests_keep_what_stands_around_them():
    tests = CallTests("def check(c):\n    base = 1\n    assert c(1) == base\n    assert c(2)\n")
    one, other = single_tests(tests, 9)
    assert "base = 1" in one.code
    assert "c(1)" in one.code
    assert "c(2)" not in one.code
    assert "c(1)" not in other.code
    assert single_tests(CallTests("this is ("), 9) == []
    waits = "async def check(c):\n    assert await c(1)\n    assert await c(2)\n"
    assert len(single_tests(CallTests(waits), 9)) == 2
    assert single_tests(StdioTests(("1", "2", "3", "4"), ("a", "b", "c", "d")), 2) == [
        StdioTests(("1",), ("a",)),
        StdioTests(("3",), ("c",)),
    ]


def rollout(completion: str, verdict: str = "fail", tokens: int = 4) -> Rollout:
    one = judged(ASSERTS, WRONG, verdict)
    sample = Sample([1] * tokens, [-1.0] * tokens, True, "")
    return Rollout(one.problem, [1], sample, completion, one.reward)


def test_a_function_of_the_users_gives_the_reward(capfd):
    with Shaper(RewardConfig(function=f"{OWN}.of_length"), Scripted()) as shape:
        some = [rollout("a"), rollout("b", "pass", 7), rollout("c", "infrastructure")]
        found = shape(some, ["def f(): pass"] * 3)
    assert [one.reward.value for one in found] == pytest.approx([0.4, 1.7, 0.0])
    assert [one.reward.verdict for one in found] == ["fail", "pass", "infrastructure"]
    assert "a print of the user's" in capfd.readouterr().err


def test_a_function_that_goes_wrong_is_infrastructure_by_name_and_the_next_sample_is_judged(capfd):
    words = ["raise", "fine", "exit", "fine", "die", "fine", "nan", "text", "sleep", "fine"]
    words += ["half", "fine", "index"]
    cfg = RewardConfig(function=f"{OWN}.moody", function_timeout_s=3)
    with Shaper(cfg, Scripted()) as shape:
        found = shape([rollout(word) for word in words], [""] * len(words))
    for word, one in zip(words, found, strict=True):
        reward = one.reward
        if word == "fine":
            assert (reward.value, reward.counted, reward.verdict) == (0.25, True, "fail")
        else:
            assert (reward.counted, reward.verdict) == (False, "infrastructure"), word
    why = {word: one.reward.reason for word, one in zip(words, found, strict=True)}
    assert "moody: ValueError: of mine" in why["raise"]
    assert "ended with exit code 3" in why["exit"]
    assert "ended with exit code 7" in why["die"]
    assert "nan, which is no finite number" in why["nan"]
    assert "could not convert string to float" in why["text"]
    assert "no answer within 3 s" in why["sleep"]
    assert "ended with exit code 9" in why["half"]
    assert "moody: IndexError: " in why["index"]
    assert capfd.readouterr().err.count("no reward: ") == 8


def test_a_function_that_is_too_late_is_ended(tmp_path):
    with RewardFunction(f"{OWN}.late", 1) as function:
        assert function([{"completion": str(tmp_path / "late")}]) == ["no answer within 1 s"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (f"{OWN}.nothing", "has no attribute 'nothing'"),
        ("no_such_module.f", "No module named 'no_such_module'"),
        (f"{OWN}.number", "number is no function"),
    ],
)
def test_a_function_that_is_none_is_refused_before_the_first_step(function, message):
    with pytest.raises(SeedbedError, match=message):
        Shaper(RewardConfig(function=function), Scripted())


def test_a_module_that_leaves_while_it_is_imported_is_named(tmp_path, monkeypatch):
    (tmp_path / "leaves.py").write_text("raise SystemExit(4)\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(SeedbedError, match="SystemExit: 4"):
        RewardFunction("leaves.f", 2)


def test_the_settings_of_fractions_reach_the_sandbox():
    sandbox = Scripted("pass", "fail", "pass")
    with Shaper(RewardConfig(kind="fraction", fraction_tests=3), sandbox) as shape:
        [one] = shape([rollout("a")], [WRONG])
    assert one.reward.value == pytest.approx(2 / 3)
    with Shaper(RewardConfig(), Scripted()) as shape:
        [one] = shape([rollout("a")], [WRONG])
    assert one.reward.value == 0.0


def test_a_reward_function_is_told_the_tokens_that_the_model_wrote():
    # Of nine tokens it was told six between two answers.
    sample = SimpleNamespace(tokens=[1] * 9, finished=True)
    rollout = SimpleNamespace(
        problem=problem_set.parse(ASSERTS), completion="c", sampled=3, sample=sample
    )
    told = _told(rollout, WRONG, Reward(0.0, True, False, "fail", "why"))
    assert told == {
        "task_id": "abs",
        "prompt": rollout.problem.prompt,
        "completion": "c",
        "program": WRONG,
        "verdict": "fail",
        "reason": "why",
        "reward": 0.0,
        "tokens": 3,
        "finished": True,
    }
