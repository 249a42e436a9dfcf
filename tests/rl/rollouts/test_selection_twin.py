"""Which rollouts train, and with which advantage, against loops over groups in plain Python."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.schema.rl import GrpoConfig, ObjectiveConfig
from rl.problems import problem_set
from rl.rollouts.rewards import Reward
from rl.rollouts.sampler import Rollout
from rl.rollouts.selection import select
from seedbed.inference.engine import Sample

PROBLEM = problem_set.parse(
    {"task_id": "p", "prompt": "p", "code": "", "test_list": ["assert f() == 1"]}
)
# (verdict, reward, whether there is a verdict)
KINDS = (
    ("pass", 1.0, True), ("fail", 0.0, True), ("fail", 0.4, True), ("infrastructure", 0.0, False),
)  # fmt: skip


def rollout(kind: tuple[str, float, bool], finished: bool, malformed: bool, place: int) -> Rollout:
    verdict, value, counted = kind
    sample = Sample([7 + place, 8], [-0.5, -0.25], finished, "")
    reward = Reward(value, counted, malformed and value < 1, verdict, "")
    return Rollout(PROBLEM, [1, 2, 3], sample, "text", reward)


def plain(rollouts: list[Rollout], cfg: GrpoConfig, size: int) -> tuple[list[bool], list[float]]:
    """(trains, advantages): group by group, rollout by rollout."""
    trains, advantages = [], []
    for start in range(0, len(rollouts), size):
        group = rollouts[start : start + size]
        counted = [r for r in group if r.reward.counted]
        values = [r.reward.value for r in counted]
        spread = len(set(values)) > 1
        right = [r for r in counted if r.reward.verdict == "pass"]
        told = [r for r in counted if r.reward.verdict != "pass" and not r.reward.malformed]
        signal = spread and len(right) <= cfg.max_correct * len(counted)
        if cfg.drop_malformed_only and not told:
            signal = False
        deviation = statistics.stdev(values) if spread else 1.0
        for r in group:
            advantage = 0.0
            if spread and r.reward.counted:
                advantage = r.reward.value - statistics.mean(values)
                if cfg.objective.scale_by_std:
                    advantage /= deviation
            advantages.append(advantage)
            cut_off = cfg.mask_overlong and not r.sample.finished
            trains.append(signal and r.reward.counted and not cut_off)
    return trains, advantages


samples = st.tuples(st.sampled_from(KINDS), st.booleans() | st.just(True), st.booleans())


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.integers(2, 5).flatmap(
        lambda size: st.lists(
            st.lists(samples, min_size=size, max_size=size), min_size=1, max_size=3
        )
    ),
    st.sampled_from([0.5, 0.75, 0.875]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_each_group_is_judged_by_itself(groups, max_correct, only_malformed, mask, scale):
    size = len(groups[0])
    cfg = GrpoConfig(
        samples=size,
        max_correct=max_correct,
        drop_malformed_only=only_malformed,
        mask_overlong=mask,
        objective=ObjectiveConfig(scale_by_std=scale),
    )
    flat = [(kind, done, bad) for group in groups for kind, done, bad in group]
    rollouts = [rollout(*one, place) for place, one in enumerate(flat)]
    found = select(rollouts, cfg, cfg.stage(0))
    trains, advantages = plain(rollouts, cfg, size)
    assert found.trains == trains
    # float32, and the epsilon beside the deviation.
    assert found.advantages == pytest.approx(advantages, rel=1e-3, abs=1e-5)
    # An example is its rollout's, in the order of the rollouts.
    used = [(place, a) for place, (t, a) in enumerate(zip(trains, advantages, strict=True)) if t]
    assert [example.response[0] - 7 for example in found.examples] == [place for place, _ in used]
    assert [e.per_sequence["advantage"] for e in found.examples] == pytest.approx(
        [a for _, a in used], rel=1e-3, abs=1e-5
    )
