"""Terms of a reward: values worked out by hand, DAPO's as TRL computes them, and what they move."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.rl import GrpoConfig, RewardConfig
from rl.problems import problem_set
from rl.rollouts.rewards import Reward
from rl.rollouts.sampler import Rollout
from rl.rollouts.selection import log_rows, select, statistics
from rl.shaping.terms import GroupFacts, length_preference, overlong_penalty, shaped
from seedbed.inference.engine import Sample

PROBLEM = problem_set.parse(
    {"task_id": "p", "prompt": "p", "code": "", "test_list": ["assert f() == 1"]}
)


def test_the_overlong_penalty_by_hand_and_as_trl_has_it():
    # TRL 1.16.0's get_soft_overlong_punishment(100, 20) of these lengths.
    lengths = torch.tensor([[0, 80, 81, 90, 99, 100, 101]])
    expected = torch.tensor([[0.0, 0.0, -0.05, -0.5, -0.95, -1.0, -1.0]])
    torch.testing.assert_close(overlong_penalty(lengths, 100, 20), expected)
    assert overlong_penalty(lengths, 100, 0).abs().sum() == 0


def facts(lengths, counted, correct) -> GroupFacts:
    as_bool = [torch.tensor(one, dtype=torch.bool) for one in (counted, correct)]
    both = [torch.tensor(lengths)] * 2
    return GroupFacts(*both, *as_bool, torch.zeros_like(as_bool[0]))


def test_the_preference_for_short_answers_by_hand():
    # Lengths 10 to 30 of the counted samples: 1/2 - 0, 1/2 - 1/2, 1/2 - 1, and a wrong short one
    # that gets no reward for being short. The last has no verdict, and its length counts nowhere.
    found = length_preference(facts([[10, 20, 30, 10, 90]], [[1, 1, 1, 1, 0]], [[1, 1, 1, 0, 0]]))
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.0, -0.5, 0.0, 0.0]]))
    # A difference of one token is the whole spread.
    found = length_preference(facts([[7, 8]], [[1, 1]], [[1, 1]]))
    torch.testing.assert_close(found, torch.tensor([[0.5, -0.5]]))
    assert length_preference(facts([[7, 7]], [[1, 1]], [[1, 0]])).abs().sum() == 0
    assert length_preference(facts([[7, 9]], [[0, 0]], [[0, 0]])).abs().sum() == 0


def test_all_terms_add_up():
    cfg = RewardConfig(overlong_cache=10, length_weight=0.4, malformed_penalty=0.3)
    some = facts([[10, 45, 30]], [[1, 1, 1]], [[1, 1, 0]])
    some = replace(some, malformed=torch.tensor([[False, False, True]]))
    total = shaped(torch.tensor([[1.0, 1.0, 0.0]]), some, cfg, longest=50)
    # 1 + 0.4 / 2; 1 - 5 / 10 - 0.4 / 2; 0 + 0.4 * min(0, 1/2 - 20/35) - 0.3
    expected = torch.tensor([[1.2, 0.3, 0.4 * (0.5 - 20 / 35) - 0.3]])
    torch.testing.assert_close(total, expected)


def rollout(verdict: str, tokens: int, malformed: bool = False, value: float = -1) -> Rollout:
    sample = Sample([7] * tokens, [-0.5] * tokens, True, "")
    value = float(verdict == "pass") if value < 0 else value
    reward = Reward(value, verdict != "infrastructure", malformed, verdict, "")
    return Rollout(PROBLEM, [1, 2, 3], sample, "text", reward)


@pytest.mark.parametrize(
    ("setting", "shaped_rewards"),
    [
        # max_response is 20: the last sample is 4 of 8 tokens into the cache.
        ("reward.overlong_cache=8", [1.0, 0.0, 0.0, -0.5]),
        # Of 2 to 16 tokens; wrong answers gain nothing by being short.
        ("reward.length_weight=0.5", [1 + 0.5 * (0.5 - 2 / 14), 0.0, 0.0, -0.25]),
        ("reward.malformed_penalty=0.25", [1.0, 0.0, -0.25, 0.0]),
    ],
)
def test_each_term_reaches_the_advantages_and_the_log(setting, shaped_rewards):
    settings = ["samples=4", "max_response=20", "objective.scale_by_std=false"]
    group = [
        rollout("pass", 4),
        rollout("fail", 2),
        rollout("error", 6, malformed=True),
        rollout("fail", 16),
    ]
    cfg = load(GrpoConfig, None, [*settings, setting])
    selection = select(group, cfg, cfg.stage(0))
    mean = sum(shaped_rewards) / 4
    assert selection.rewards == pytest.approx(shaped_rewards)
    assert selection.advantages == pytest.approx([value - mean for value in shaped_rewards])
    assert statistics(group, selection)["shaped_reward"] == pytest.approx(mean)
    assert statistics(group, selection)["reward"] == 0.25
    rows = log_rows(group, selection, 1, 0)
    assert [row["shaped_reward"] for row in rows] == pytest.approx(shaped_rewards)
    assert [row["reward"] for row in rows] == [1.0, 0.0, 0.0, 0.0]


def test_a_group_that_differs_in_length_alone_has_no_signal():
    cfg = load(GrpoConfig, None, ["samples=2", "max_response=20", "reward.overlong_cache=8"])
    group = [rollout("fail", 2), rollout("fail", 18)]
    assert select(group, cfg, cfg.stage(0)).signal == [False]


def test_a_high_value_is_no_correct_answer_and_a_low_one_is_one_where_the_verdict_says_so():
    cfg = load(GrpoConfig, None, ["samples=4", "max_correct=0.5"])
    wrong = [rollout("fail", 5, value=one) for one in (3.0, 2.0, 1.0, 0.5)]
    right = [rollout("pass", 5, value=one) for one in (0.3, 0.2, 0.1, 0.5)]
    signal = select([*wrong, *right], cfg, cfg.stage(0)).signal
    assert signal == [True, False]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("reward.kind=share", "reward.kind='share' is unknown"),
        ("reward.overlong_cache=33", "must lie between 0 and max_response=32"),
        ("reward.length_weight=-1", "reward.length_weight=-1.0 must be at least 0"),
        ("reward.malformed_penalty=-1", "reward.malformed_penalty=-1.0 must be at least 0"),
        ("reward.function=mine", "reward.function='mine' names no module"),
        ("reward.fraction_tests=0", "reward.fraction_tests=0 must be at least 1"),
        ("reward.function_timeout_s=0", "reward.function_timeout_s=0 must be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting, message):
    with pytest.raises(SeedbedError, match=message):
        load(GrpoConfig, None, [setting])


def test_of_several_answers_the_longest_is_overlong_and_all_together_are_long():
    cfg = RewardConfig(overlong_cache=10, length_weight=0.4)
    some = facts([[45, 50]], [[1, 1]], [[1, 1]])
    some = replace(some, longest_answers=torch.tensor([[45, 40]]))
    total = shaped(torch.tensor([[1.0, 1.0]]), some, cfg, longest=50)
    # 1 - 5 / 10 + 0.4 / 2; 1 - 0 - 0.4 / 2
    torch.testing.assert_close(total, torch.tensor([[0.7, 0.8]]))
