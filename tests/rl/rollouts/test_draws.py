"""Which problems a step draws: pass rates worked out by hand, shares of draws, and no repeats."""

from __future__ import annotations

from collections import Counter

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.rl import DrawConfig, GrpoConfig
from rl.rollouts.draws import PassRates, by_pass_rate, problems_of_step, weight
from rl.training.batches import sample_indices


def rows(step: int, task: str, *verdicts: str) -> list[dict]:
    return [{"step": step, "task_id": task, "verdict": verdict} for verdict in verdicts]


ROWS = [
    *rows(1, "a", "pass", "fail", "fail", "infrastructure", "timeout"),
    *rows(1, "b", "pass", "pass"),
    *rows(3, "a", "pass", "pass"),
    *rows(3, "c", "infrastructure"),
]


def test_running_pass_rates_by_hand():
    rates = PassRates(ROWS)
    # a: 1/2 + 0.25 (1/4 - 1/2) = 0.4375; b: 1/2 + 0.25 (1 - 1/2) = 0.625.
    assert rates.until(2, 0.25) == {"a": 0.4375, "b": 0.625}
    # a: 0.4375 + 0.25 (1 - 0.4375). c has no verdict and stays unknown.
    assert rates.until(3, 0.25) == {"a": 0.578125, "b": 0.625}
    assert rates.until(0, 0.25) == {}


def test_rates_are_the_same_whether_rows_come_at_once_or_step_by_step():
    grown = PassRates([])
    for row in ROWS:
        grown.add([row])
    assert grown.until(9, 0.3) == PassRates(ROWS).until(9, 0.3)
    # Nor does the order of the rows count, since a step's place in time is its number.
    backwards = PassRates(reversed(ROWS))
    assert backwards.until(9, 0.3) == PassRates(ROWS).until(9, 0.3)
    assert backwards.until(2, 0.3) == PassRates(ROWS).until(2, 0.3)


@pytest.mark.parametrize(
    ("rate", "expected"), [(0.5, 1.0), (0.25, 0.75), (0.0, 0.2), (1.0, 0.2), (0.96, 0.2)]
)
def test_weights_by_hand(rate, expected):
    assert weight(rate, floor=0.2) == pytest.approx(expected)


def test_first_draws_come_in_proportion_to_the_weights():
    tasks, cfg = ["half", "never", "quarter"], DrawConfig(floor=0.25)
    rates = {"half": 0.5, "never": 0.0, "quarter": 0.25}
    firsts = Counter(by_pass_rate(tasks, rates, cfg, 1, f"seed:{n}")[0] for n in range(4000))
    # Weights 1, 0.25, 0.75 of 2. Three standard deviations of a share are at most 0.024.
    assert [firsts[i] / 4000 for i in range(3)] == pytest.approx([0.5, 0.125, 0.375], abs=0.024)


def test_a_step_draws_different_problems_and_the_same_again():
    tasks = [f"t{n}" for n in range(9)]
    drawn = by_pass_rate(tasks, {}, DrawConfig(), 7, "k")
    assert len(set(drawn)) == 7
    assert by_pass_rate(tasks, {}, DrawConfig(), 7, "k") == drawn
    assert by_pass_rate(tasks, {}, DrawConfig(), 7, "l") != drawn
    assert sorted(by_pass_rate(tasks[:3], {}, DrawConfig(), 6, "k")) == [0, 0, 1, 1, 2, 2]


def curriculum(*more: str) -> GrpoConfig:
    settings = ["draw.curriculum=true", "draw.floor=0.001", "draw.newest_share=0.9", "prompts=2"]
    return load(GrpoConfig, None, [*settings, *more])


def test_a_curriculum_leaves_what_always_passes_and_knows_no_verdict_of_the_step_before_with_lag():
    tasks = ["a", "b", "c", "d"]
    solved = [row for task in "ab" for row in rows(1, task, *["pass"] * 8)]
    solved += [row for task in "ab" for row in rows(2, task, *["pass"] * 8)]
    rates = PassRates(solved)
    for seed in range(5):
        cfg = curriculum(f"seed={seed}")
        assert sorted(problems_of_step(cfg, tasks, rates, 2)) == [2, 3]
    late = [row for row in solved if row["step"] == 2]
    ahead = curriculum("rollout_lag=1")
    assert problems_of_step(ahead, tasks, PassRates(late), 2) == problems_of_step(
        ahead, tasks, PassRates([]), 2
    )


def test_the_settings_of_a_curriculum_reach_the_draw():
    tasks = [f"t{n}" for n in range(40)]
    known = PassRates([row for task in tasks[:20] for row in rows(1, task, "pass", "pass")])

    def easy(*settings: str) -> int:
        """How many of the twenty solved problems 100 steps draw."""
        cfg = curriculum("prompts=10", *settings)
        return sum(
            i < 20 for step in range(1, 101) for i in problems_of_step(cfg, tasks, known, step)
        )

    few = easy()
    assert easy("draw.newest_share=0.2") > 2 * few
    assert easy("draw.floor=1") > 2 * few


def test_each_step_and_each_seed_of_a_curriculum_draws_anew():
    tasks = [f"t{n}" for n in range(30)]

    def drawn(seed: int, step: int) -> tuple[int, ...]:
        cfg = curriculum(f"seed={seed}", "prompts=6")
        return tuple(problems_of_step(cfg, tasks, PassRates([]), step))

    every = {(seed, step): drawn(seed, step) for seed in (1, 2) for step in range(4)}
    assert len(set(every.values())) == 8
    assert every == {(seed, step): drawn(seed, step) for seed, step in every}


def test_without_a_curriculum_every_problem_comes_once_per_pass():
    cfg, tasks = GrpoConfig(prompts=3, seed=5), [f"t{n}" for n in range(7)]
    drawn = [i for step in range(7) for i in problems_of_step(cfg, tasks, None, step)]
    assert drawn == sample_indices(7, 0, 21, 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["draw.floor=0"], r"draw.floor=0.0 is not in \(0, 1\]"),
        (["draw.newest_share=1.5"], r"draw.newest_share=1.5 is not in \(0, 1\]"),
        (["draw.refill_rounds=-1"], "draw.refill_rounds=-1 must be at least 0"),
        (["draw.refill_rounds=2", "rollout_lag=1"], "draw.refill_rounds=2 with rollout_lag=1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(SeedbedError, match=message):
        load(GrpoConfig, None, settings)
