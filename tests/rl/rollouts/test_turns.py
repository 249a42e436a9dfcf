"""A dialogue of two answers, worked out by hand: tokens, spans, masks, rows and examples."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from conf.loader import load
from conf.schema.rl import GrpoConfig
from rl.problems import problem_set
from rl.rollouts.rewards import Reward
from rl.rollouts.sampler import Rollout
from rl.rollouts.selection import log_rows, select, statistics
from rl.rollouts.turns import Dialogue, Turn, mask
from seedbed.inference.engine import Sample

PROBLEM = problem_set.parse(
    {"task_id": "p", "prompt": "p", "code": "", "test_list": ["assert f() == 1"]}
)


def turn(tokens: list[int], told: list[int], finished: bool = True) -> Turn:
    sample = Sample(tokens, [-n / 8 for n in tokens], finished, "")
    return Turn(sample, f"text {tokens[0]}", "fail" if told else "", "r", "o" if told else "", told)


TWO = Dialogue((turn([7, 8, 9], [30, 31]), turn([5], [])), "turns")
ONE = Dialogue((turn([6, 4], []),), "passed")
CUT = Dialogue((turn([7] * 9, [32]), turn([7] * 12, [], finished=False)), "cut")


def rollout(dialogue: Dialogue, *values: float, counted: bool = True) -> Rollout:
    by_turn = tuple(Reward(float(v), True, False, "pass" if v else "fail", "") for v in values)
    last = by_turn[-1]
    verdict = last.verdict if counted else "unsupported"
    reward = Reward(last.value, counted, False, verdict, "")
    return Rollout(PROBLEM, [1, 2], dialogue.sample, "text", reward, dialogue, by_turn)


GROUP = [rollout(TWO, 0, 1), rollout(ONE, 0), rollout(CUT, 0, 0), rollout(TWO, 1, 0, counted=False)]
SETTINGS = [
    *("samples=4", "max_response=12", "objective.scale_by_std=false", "environment.max_turns=2"),
    *("environment.name=mend", "environment.max_context=200", "mask_overlong=false"),
]


def test_a_dialogue_is_one_response_with_spans_that_were_sampled():
    assert TWO.sample.tokens == [7, 8, 9, 30, 31, 5]
    assert TWO.sample.logprobs == [-7 / 8, -1.0, -9 / 8, 0.0, 0.0, -5 / 8]
    assert TWO.spans == [(0, 3), (5, 6)]
    assert mask(TWO.spans, 6) == [True, True, True, False, False, True]
    assert (TWO.sample.finished, CUT.sample.finished) == (True, False)
    assert Dialogue.of_json(json.loads(json.dumps(asdict(TWO)))).spans == TWO.spans


def test_what_was_told_trains_nothing_and_counts_in_no_length():
    cfg = load(GrpoConfig, None, SETTINGS)
    selection = select(GROUP, cfg, cfg.stage(0))
    assert selection.trains == [True, True, True, False]
    # The mean of 1, 0, 0; the last has no verdict.
    assert selection.advantages == pytest.approx([2 / 3, -1 / 3, -1 / 3, 0])
    first = selection.examples[0]
    assert (list(first.prompt), list(first.response)) == ([1, 2], [7, 8, 9, 30, 31, 5])
    assert first.mask == [1, 1, 1, 0, 0, 1]
    assert first.per_token["engine_logprobs"] == TWO.sample.logprobs
    found = statistics(GROUP, selection)
    assert found["response_tokens"] == (4 + 2 + 21 + 4) / 4
    assert found["masked_tokens"] == (2 + 0 + 1 + 2) / 4
    assert found["turns"] == 7 / 4
    # After the first turn 0, 0, 0 and 1; then 1, still 0, 0 and 0.
    assert found["reward_after"] == [0.25, 0.25]
    assert found["ended"] == {"turns": 2, "passed": 1, "cut": 1}


def test_the_penalty_for_long_answers_looks_at_each_answer():
    """21 tokens in two answers of 9 and 12: the longer is all of 12, 4 into a cache of 4."""
    cfg = load(GrpoConfig, None, [*SETTINGS, "reward.overlong_cache=4"])
    assert select(GROUP, cfg, cfg.stage(0)).rewards == [1.0, 0.0, -1.0, 0.0]
    # The preference for short answers counts all that was sampled: 4, 2 and 21 tokens.
    cfg = load(GrpoConfig, None, [*SETTINGS, "reward.length_weight=1"])
    assert select(GROUP, cfg, cfg.stage(0)).rewards == pytest.approx(
        [1 + 0.5 - 2 / 19, 0.0, -0.5, 0.0]
    )


def test_rows_tell_the_turns():
    cfg = load(GrpoConfig, None, SETTINGS)
    rows = log_rows(GROUP, select(GROUP, cfg, cfg.stage(0)), step=3, policy=2)
    first, second, _, last = (json.loads(json.dumps(row)) for row in rows)
    assert (first["turns"], first["masked_tokens"], first["ended"]) == (2, 2, "turns")
    assert (first["spans"], second["spans"]) == ([0, 3, 5, 6], [0, 2])
    assert (first["turn_rewards"], last["turn_rewards"]) == ([0.0, 1.0], [1.0, 0.0])
    assert first["tokens"] == [7, 8, 9, 30, 31, 5]
    assert first["earlier"] == [
        {"completion": "text 7", "verdict": "fail", "reason": "r", "observation": "o"}
    ]
    assert second["earlier"] == []
