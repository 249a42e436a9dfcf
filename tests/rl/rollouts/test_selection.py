"""Which samples of a step train, and the figures that a step reports."""

from __future__ import annotations

import json

import pytest

from conf.loader import load
from conf.schema.rl import GrpoConfig
from rl.problems import problem_set
from rl.rollouts.rewards import Reward
from rl.rollouts.sampler import Rollout
from rl.rollouts.selection import log_rows, select, statistics
from seedbed.inference.engine import Sample

CFG = GrpoConfig(samples=4)
STAGE = CFG.stage(0)
PROBLEM = problem_set.parse(
    {"task_id": "p", "prompt": "p", "code": "", "test_list": ["assert f() == 1"]}
)


def rollout(verdict: str, finished: bool = True, malformed: bool = False) -> Rollout:
    sample = Sample([7, 8], [-0.5, -0.25], finished, "")
    reward = Reward(float(verdict == "pass"), verdict != "infrastructure", malformed, verdict, "")
    return Rollout(PROBLEM, [1, 2, 3], sample, "text", reward)


def test_groups_without_signal_train_nothing():
    selection = select([rollout("pass")] * 4 + [rollout("fail")] * 4, CFG, STAGE)
    assert selection.signal == [False, False]
    assert selection.examples == []


def test_a_mixed_group_trains_with_its_advantages_and_the_engines_logprobs():
    selection = select(
        [rollout("pass"), rollout("fail"), rollout("error"), rollout("timeout")], CFG, STAGE
    )
    assert [e.per_sequence["advantage"] for e in selection.examples] == pytest.approx(
        [1.5, -0.5, -0.5, -0.5], abs=1e-4
    )
    assert selection.examples[0].per_token == {"engine_logprobs": [-0.5, -0.25]}
    assert (selection.examples[0].prompt, selection.examples[0].response) == ([1, 2, 3], [7, 8])


def test_samples_without_a_verdict_or_cut_off_do_not_train():
    group = [
        rollout("pass"),
        rollout("fail"),
        rollout("infrastructure"),
        rollout("fail", finished=False),
    ]
    assert select(group, CFG, STAGE).trains == [True, True, False, False]
    assert select(group, GrpoConfig(samples=4, mask_overlong=False), STAGE).trains == [
        True,
        True,
        False,
        True,
    ]


def test_a_group_of_correct_and_malformed_answers_is_dropped():
    group = [rollout("pass"), rollout("error", malformed=True)] * 2
    assert select(group, CFG, STAGE).signal == [False]
    assert select(group, GrpoConfig(samples=4, drop_malformed_only=False), STAGE).signal == [True]


def test_statistics_of_a_step():
    group = [
        rollout("pass"),
        rollout("fail"),
        rollout("infrastructure"),
        rollout("fail", finished=False),
    ]
    found = statistics(group, select(group, CFG, STAGE))
    # The mean is over the three verdicts.
    assert found["reward"] == pytest.approx(1 / 3)
    assert (found["groups"], found["groups_with_signal"], found["samples_trained"]) == (1, 1, 2)
    assert (found["response_tokens"], found["finished"]) == (2.0, 0.75)
    assert found["shares"]["infrastructure"] == 0.25
    assert found["shaped_reward"] == pytest.approx(1 / 3)


def test_a_group_that_is_solved_too_often_has_no_signal():
    passed, failed = rollout("pass"), rollout("fail")
    groups = [[passed] * 3 + [failed], [passed] * 2 + [failed] * 2, [passed] + [failed] * 3]
    some = [one for group in groups for one in group]
    signals = {0.75: [True] * 3, 0.5: [False, True, True], 0.25: [False, False, True]}
    for most, signal in signals.items():
        cfg = load(GrpoConfig, None, ["samples=4", f"max_correct={most}"])
        assert select(some, cfg, cfg.stage(0)).signal == signal


def test_an_earlier_stage_has_its_own_groups_and_its_own_length():
    stages = "earlier_stages=[{steps: 1, samples: 2, max_response: 3}]"
    settings = ["samples=4", "steps=2", "max_response=30", "reward.overlong_cache=2", stages]
    cfg = load(GrpoConfig, None, settings)
    group = [rollout("pass"), rollout("fail"), rollout("fail"), rollout("fail")]
    first = select(group, cfg, cfg.stage(0))
    assert first.signal == [True, False]
    # Each has 2 tokens, one of two into the cache before 3; of 30 tokens they are short.
    assert first.rewards == [0.5, -0.5, -0.5, -0.5]
    last = select(group, cfg, cfg.stage(1))
    assert (last.signal, last.rewards) == ([True], [1.0, 0.0, 0.0, 0.0])


def test_log_rows_hold_what_is_needed_to_judge_again():
    group = [rollout("pass"), rollout("fail"), rollout("fail", finished=False), rollout("fail")]
    rows = [
        json.loads(json.dumps(row))
        for row in log_rows(group, select(group, CFG, STAGE), step=3, policy=1)
    ]
    assert [row["trains"] for row in rows] == [True, True, False, True]
    assert [row["finished"] for row in rows] == [True, True, False, True]
    assert [row["verdict"] for row in rows] == ["pass", "fail", "fail", "fail"]
    assert [row["reward"] for row in rows] == [1.0, 0.0, 0.0, 0.0]
    assert [row["advantage"] for row in rows] == pytest.approx([1.5, -0.5, -0.5, -0.5], abs=1e-4)
    kept = {"step": 3, "policy": 1, "task_id": "p", "prompt": PROBLEM.prompt, "completion": "text"}
    kept |= {"prompt_tokens": [1, 2, 3], "tokens": [7, 8], "logprobs": [-0.5, -0.25]}
    for row in rows:
        assert {name: row[name] for name in kept} == kept
