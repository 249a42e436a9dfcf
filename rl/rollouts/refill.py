"""DAPO's dynamic sampling (arXiv 2503.14476 Sec 3.2), with a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random

from conf.schema.rl import GrpoConfig
from rl.rollouts.sampler import Rollout
from rl.rollouts.selection import Selection, select


def others(size: int, taken: Iterable[int], count: int, seed: int, step: int) -> list[int]:
    """Indices of at most `count` problems that the step has not drawn yet, in a drawn order.

    The order depends on (seed, step) alone, so a run that was killed draws the same again.
    """
    order = list(range(size))
    Random(f"{seed}:refill:{step}").shuffle(order)
    used = set(taken)
    return [index for index in order if index not in used][:count]


def refilled(
    cfg: GrpoConfig,
    tasks: Sequence[str],
    step: int,
    rollouts: Sequence[Rollout],
    draw: Callable[[list[int]], list[Rollout]],
) -> tuple[list[Rollout], Selection]:
    """The rollouts of a step and more of them, until cfg.prompts groups have signal.

    Each round draws as many groups as are missing, of problems that the step has not drawn.
    draw: indices of problems -> their judged groups. After cfg.draw.refill_rounds, or without
    another problem, the step trains on what there is. All drawn rollouts are returned.
    """
    stage, place = cfg.stage(step), {task: index for index, task in enumerate(tasks)}
    found = list(rollouts)
    selection = select(found, cfg, stage)
    for _ in range(cfg.draw.refill_rounds):
        taken = [place[rollout.problem.task_id] for rollout in found]
        missing = cfg.prompts - sum(selection.signal)
        chosen = others(len(tasks), taken, missing, cfg.seed, step)
        if not chosen:
            break
        found += draw(chosen)
        selection = select(found, cfg, stage)
    return found, selection
