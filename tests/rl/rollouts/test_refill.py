"""Groups without signal are replaced by groups of other problems, up to a bound."""

from __future__ import annotations

from conf.loader import load
from conf.schema.rl import GrpoConfig
from rl.problems import problem_set
from rl.rollouts.refill import others, refilled
from rl.rollouts.rewards import Reward
from rl.rollouts.sampler import Rollout
from seedbed.inference.engine import Sample

TASKS = [f"t{n}" for n in range(9)]
# Groups of these problems have a right and wrong answers; all others are wrong throughout.
MIXED = {"t4", "t6", "t7"}


def group(task: str) -> list[Rollout]:
    row = {"task_id": task, "prompt": "p", "code": "", "test_list": ["assert f() == 1"]}
    verdicts = ["pass", "fail", "fail"] if task in MIXED else ["fail"] * 3
    return [
        Rollout(
            problem_set.parse(row),
            [1],
            Sample([2], [-0.5], True, ""),
            "text",
            Reward(float(verdict == "pass"), True, False, verdict, ""),
        )
        for verdict in verdicts
    ]


class Draws:
    """Judged groups of the problems that are asked for, and what was asked for."""

    def __init__(self):
        self.asked: list[list[int]] = []

    def __call__(self, chosen: list[int]) -> list[Rollout]:
        self.asked.append(chosen)
        return [one for index in chosen for one in group(TASKS[index])]


def config(rounds: int, prompts: int = 3) -> GrpoConfig:
    settings = [f"prompts={prompts}", "samples=3", f"draw.refill_rounds={rounds}", "seed=4"]
    return load(GrpoConfig, None, settings)


START = [one for task in ("t0", "t4", "t1") for one in group(task)]


def test_rounds_ask_for_what_is_missing_and_never_for_a_problem_twice():
    draw = Draws()
    rollouts, selection = refilled(config(9), TASKS, 2, START, draw)
    assert sum(selection.signal) == 3
    asked = [index for chosen in draw.asked for index in chosen]
    assert len(asked) == len(set(asked))
    assert not {0, 1, 4} & set(asked)
    assert len(draw.asked[0]) == 2
    assert len(rollouts) == len(START) + 3 * len(asked)
    # Each round asked for as many groups as were still without signal.
    had = 1
    for chosen in draw.asked:
        assert len(chosen) == 3 - had
        had += sum(TASKS[index] in MIXED for index in chosen)


def test_the_rounds_are_bounded_and_the_step_trains_on_what_there_is():
    draw = Draws()
    for rounds in (0, 1):
        draw = Draws()
        _, selection = refilled(config(rounds), TASKS, 2, START, draw)
        assert len(draw.asked) == rounds
        assert 1 <= sum(selection.signal) <= 3
    # There are three such problems, so four groups with signal are never reached.
    draw = Draws()
    rollouts, selection = refilled(config(99, prompts=4), TASKS, 2, START, draw)
    assert sum(selection.signal) == 3
    assert len({rollout.problem.task_id for rollout in rollouts}) == 9


def test_a_step_of_an_earlier_stage_has_groups_of_that_stage():
    stages = "earlier_stages=[{steps: 3, samples: 3, max_response: 8}]"
    settings = ["prompts=2", "samples=5", "steps=6", "draw.refill_rounds=9", stages]
    draw = Draws()
    rollouts, selection = refilled(load(GrpoConfig, None, settings), TASKS, 2, START, draw)
    assert sum(selection.signal) == 2
    assert len(selection.signal) == len(rollouts) // 3


def test_a_full_step_draws_nothing_more():
    draw = Draws()
    rollouts, _ = refilled(config(9, prompts=1), TASKS, 2, group("t6"), draw)
    assert draw.asked == []
    assert len(rollouts) == 3


def test_other_problems_depend_on_seed_and_step_alone():
    assert others(9, [0, 4], 3, 1, 7) == others(9, [4, 0], 3, 1, 7)
    rest = others(9, [], 9, 1, 7)
    assert [index for index in rest if index not in (0, 4)][:3] == others(9, [0, 4], 3, 1, 7)
    assert others(9, [], 9, 1, 8) != rest
    assert others(9, [], 9, 2, 7) != rest
    assert others(3, [0, 1, 2], 2, 1, 7) == []
